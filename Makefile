# make report: a report of the bundled sample.  make test: what is quickly checked; SLOW=1: all.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH ?=
SLOW ?=
EXTRAS ?= test

.PHONY: report test lint gallery bench clean

report: $(VENV)/.base
	@# exit code 3: everything whole was read; the sample's killed run has a torn .wandb by design
	@$(BIN)/python -m etl.sync --project nanochat-mini data/sample || [ $$? -eq 3 ]
	@$(BIN)/python -m reports.build --project nanochat-mini

test: $(VENV)/.test chromium .venv-trace/.ready
	$(BIN)/python -m pytest -n auto $(if $(SLOW),,-m 'not slow')

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/lint_js.py

gallery: $(VENV)/.test chromium
	$(BIN)/python tests/gallery.py

bench: $(VENV)/.bench
	$(BIN)/python tests/bench/log_speed.py
	$(BIN)/python tests/bench/kill_loss.py
	$(BIN)/python tests/bench/sync_speed.py
	$(BIN)/python tests/bench/sync_speed.py --large
	$(BIN)/python tests/bench/wandb_speed.py
	$(BIN)/python tests/bench/telemetry_cost.py
	$(BIN)/python tests/bench/page_scale.py --large

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11. fix: make PYTHON=python3.12 ..."; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "error: no venv. fix on Debian and Ubuntu: apt-get install python3-venv"; exit 2; }

$(VENV)/.base: pyproject.toml | $(VENV)/bin/python
	@echo "installing runatlas into $(VENV)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	@echo "installing runatlas and what its tests need into $(VENV)" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRAS)]' $(TORCH)
	@touch $@ $(VENV)/.base

$(VENV)/.bench: pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

# A Weave trace server as W&B last published it, for the tests of boards: 0.5 GB, half a minute.
# On ClickHouse (1.4 GB) only where it is asked for: make .venv-clickhouse/.ready
.venv-trace/.ready: tests/trace_server/sqlite.txt
.venv-clickhouse/.ready: tests/trace_server/clickhouse.txt
.venv-trace/.ready .venv-clickhouse/.ready:
	@echo "installing a Weave trace server for the tests of boards into $(@D)" >&2
	@$(PYTHON) -m venv $(@D) && \
	  $(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $< && touch $@ || \
	  { rm -rf $(@D); echo "note: that failed, so the tests that need it are skipped." >&2; }

.PHONY: chromium
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing Chromium for the tests of the page" >&2; \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else \
	    echo "note: no Chromium, so the tests of the page are skipped." >&2; \
	    echo "  fix: sudo apt-get install chromium, or CHROMIUM=/path/to/chrome make test" >&2; \
	  fi

clean:
	rm -rf $(VENV) .venv-trace .venv-clickhouse .mypy_cache .pytest_cache .ruff_cache .hypothesis
