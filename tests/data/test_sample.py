"""The bundled sample: really trained, killed, resumed, diverged; and the script that makes it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from etl import sync

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample"
LINES = sorted(SAMPLE.rglob("*.jsonl"))
WANDB = sorted(SAMPLE.rglob("*.wandb"))


def synced(folder, *paths):
    """Sync *paths* into a project of its own; return (exit code, a connection to its tables)."""
    arguments = ["--project", "mini", "--data-dir", str(folder), *map(str, paths)]
    code = sync.main(arguments)
    return code, duckdb.connect(str(folder / "mini" / "runs.duckdb"), read_only=True)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    code, con = synced(tmp_path_factory.mktemp("sample"), SAMPLE)
    with con:
        yield code, con


def rows(tables, query):
    return tables[1].execute(query).fetchall()


def test_it_is_small_and_names_no_machine():
    """At most 15 MB; no home, no folder, no address in any of its bytes."""
    data = {path: path.read_bytes() for path in SAMPLE.rglob("*") if path.is_file()}

    assert sum(map(len, data.values())) < 15e6
    trace = re.compile(rb"/root|/home/|/tmp/|/Users/|[a-z0-9]{3,}@[a-z0-9]{2,}\.[a-z]{2,}")
    assert [path.name for path, content in data.items() if trace.search(content)] == []


def test_it_holds_at_least_eight_configurations_in_all_four_stages(tables):
    configurations = rows(
        tables, "select name from runs group by name having count(distinct stage) = 4"
    )
    stages = rows(tables, "select distinct stage from runs order by stage")

    assert len(configurations) >= 8
    assert stages == [("midtraining",), ("pretraining",), ("rl",), ("sft",)]
    for key in ("depth", "model_dim", "device_batch_size", "learning_rate"):
        assert len(rows(tables, f"select distinct number from config where key = '{key}'")) >= 3


def test_every_run_was_evaluated_on_four_tasks_under_names_of_their_own(tables):
    tasks = rows(
        tables,
        "select run_id, count(distinct metric) from history where metric like '%_acc' group by 1",
    )
    names = {
        name for (name,) in rows(tables, "select metric from metrics where family = 'accuracy'")
    }

    whole = [count for run_id, count in tasks]
    assert len(tasks) == len(rows(tables, "select * from runs"))
    assert min(whole) >= 4
    assert not names & {"mmlu_acc", "gsm8k_acc", "arc_easy_acc", "humaneval_acc"}


def test_one_process_was_killed_and_its_run_resumed(tables):
    """Two segments; the first was abandoned where the second began; no step twice."""
    killed = rows(
        tables, "select run_id, abandoned_from, last_step from segments where state = 'unfinished'"
    )

    assert len(killed) == 1
    ((run_id, abandoned, last),) = killed
    assert abandoned < last
    assert rows(tables, f"select state from runs where run_id = '{run_id}'") == [("finished",)]
    twice = "select 1 from history group by run_id, metric, step having count(*) > 1"
    assert rows(tables, twice) == []


def test_the_killed_process_left_a_wandb_file_without_its_end(tables):
    """That is what a kill does to W&B's log: exit code 3, and one line that says so."""
    assert tables[0] == 3
    assert len(rows(tables, "select * from quarantine")) == 1


def test_one_run_diverged_and_says_so(tables):
    diverged = rows(
        tables,
        "select distinct r.run_id, r.state, r.exit_code from history h join runs r using (run_id)"
        " where h.metric = 'train/loss' and isnan(h.value)",
    )

    assert len(diverged) == 1
    assert diverged[0][1:] == ("failed", 1)


def test_both_sources_of_each_run_agree(tables):
    assert rows(tables, "select * from disagreements") == []
    assert {source for (source,) in rows(tables, "select distinct source from keys")} == {
        "hooks-jsonl", "wandb-offline"
    }  # fmt: skip


def test_jsonl_alone_wandb_alone_and_both_give_the_same_history(tmp_path, tables):
    """For every run whose processes all ended by themselves, to the last bit."""
    ended = "select run_id from segments group by run_id having bool_and(state <> 'unfinished')"
    query = f"select run_id, metric, step, value, text from history where run_id in ({ended})"
    found = {}
    for name, paths in {"lines": LINES, "client": WANDB}.items():
        _, con = synced(tmp_path / name, *paths)
        with con:
            found[name] = sorted(con.execute(query).fetchall(), key=repr)
    both = sorted(rows(tables, query), key=repr)

    assert len(both) > 20_000
    assert repr(found["lines"]) == repr(found["client"]) == repr(both)  # repr: NaN is NaN


def test_learning_is_visible(tables):
    """SFT beats pretraining on the tasks, and longer training has fewer bits per byte."""
    best = dict(
        rows(
            tables,
            "select stage, max(value) from summary join runs using (run_id)"
            " where metric like '%_acc' and rule = 'best' group by stage",
        )
    )
    ((first, last),) = rows(
        tables,
        "select avg(a.value), avg(b.value) from summary a join summary b using (run_id, metric)"
        " join runs using (run_id) where metric = 'val/bpb' and a.rule = 'max' and b.rule = 'best'"
        " and stage = 'pretraining' and state = 'finished'",
    )

    assert best["sft"] > 0.5
    assert best["pretraining"] < 0.2
    assert last < first - 1


@pytest.mark.slow
def test_the_script_trains_a_quick_one_from_nothing(tmp_path):
    """All stages of two configurations, a kill and a divergence, logged by hooks and W&B."""
    pytest.importorskip("torch", reason="training needs torch: pip install 'runatlas[torch]'")
    pytest.importorskip("wandb", reason="the sample is logged to W&B as well")
    out = tmp_path / "sample"
    script = [sys.executable, "data/train_sample.py", "--quick", "--jobs", "2", "--out", str(out)]
    done = subprocess.run(
        script, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr[-2000:]

    code, con = synced(tmp_path / "data", out)
    with con:
        stages = con.execute("select stage, count(*) from runs group by 1 order by 1").fetchall()
        states = con.execute("select state, count(*) from runs group by 1 order by 1").fetchall()
        killed = con.execute("select count(*) from segments where state = 'unfinished'").fetchall()
    assert code == 3
    assert [stage for stage, _ in stages] == ["midtraining", "pretraining", "rl", "sft"]
    assert dict(states) == {"finished": 8, "failed": 1}
    assert killed == [(1,)]
    shutil.rmtree(out)


def test_the_committed_header_lines_are_of_this_grammar():
    """Each log begins with a header in grammar v1."""
    for path in LINES:
        first = json.loads(path.read_text(encoding="ascii").split("\n", 1)[0])
        assert (first["_kind"], first["v"]) == ("run", 1)
