"""What stands in ``files/`` beside a .wandb: config, summary, metadata and what was printed."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl import sources
from etl.discover import source_of
from etl.sources import wandb_offline, wandb_sidecars

OLD = """wandb_version: 1

_wandb:
  desc: null
  value:
    python_version: 3.8.1
    cli_version: 0.12.15
eps:
  desc: null
  value: 1.0e-08
started:
  desc: null
  value: 2024-01-01
layers:
  desc: null
  value:
  - 1
  - 2
token_file:
  desc: null
  value: /home/ann/token
hf_token:
  desc: null
  value: hf_0123456789abcdefgh
"""
NEW = """_wandb:
    value:
        cli_version: 0.22.3
        e:
            w1:
                email: ann@example.com
                host: box
        python_version: 3.12.6
eps:
    value: 1e-08
lr:
    value: .inf
name:
    value: "yes"
nothing:
    value: null
"""
METADATA = {
    "python": "CPython 3.12.6",
    "startedAt": "2025-11-05T13:47:31.634931Z",
    "program": "/home/ann/nanochat/scripts/base_train.py",
    "codePath": "scripts/base_train.py",
    "args": ["--secret"],
    "git": {"remote": "https://example.com/ann/x.git", "commit": "c0ffee"},
    "email": "ann@example.com",
    "root": "/home/ann",
    "host": "box",
    "username": "ann",
    "executable": "/home/ann/bin/python",
    "gpu": "[NVIDIA H100 80GB HBM3, NVIDIA H100 80GB HBM3]",
    "gpu_count": 2,
    "cudaVersion": "12.4",
}


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "wandb" / "offline-run-20260101_120000-ab12cd34" / "files"
    folder.mkdir(parents=True)
    return folder


def read(path, text):
    path.write_text(text, encoding="utf-8")

    assert source_of(path) is sources.BY_KIND["wandb-files"]

    return wandb_sidecars.read(path, 0, ())


def facts(reading):
    (part,) = reading.parts
    return part.facts


def test_real_files_say_of_their_run_what_its_log_says(fixtures, truths):
    """The run id, the config and the script of each file agree with the .wandb beside it."""
    sidecars = [t["file"] for t in truths if t.get("desc", "").startswith("sidecar of a .wandb")]
    seen = 0
    for file in sidecars:
        path = fixtures / file

        assert source_of(path) is sources.BY_KIND["wandb-files"]

        reading = wandb_sidecars.read(path, 0, ())
        own = facts(reading)
        (log,) = path.parent.parent.glob("*.wandb")
        run = facts(wandb_offline.read(log, 0, ()))

        assert not reading.rejects
        assert own.run_id == run.run_id
        assert own.script in (None, run.script) or run.script is None
        shared = set(own.config) & set(run.config)
        assert all(
            own.config[key] == run.config[key] or "~" in str(own.config[key]) for key in shared
        )
        assert len(shared) >= min(len(own.config), len(run.config), 2)
        seen += 1

    assert seen >= 16


def test_nothing_of_the_person_or_the_machine_is_in_any_real_one(fixtures, truths):
    """The fixtures' names were blanked with letters that stand nowhere else."""
    for truth in truths:
        if truth.get("desc", "").startswith("sidecar of a .wandb"):
            said = facts(wandb_sidecars.read(fixtures / truth["file"], 0, ())).dump()

            assert not [
                word for word in ("uuu", "hhhh", "xxx.edu", "@xxx", "/home/") if word in said
            ]


def test_the_config_of_old_and_new_sdks_is_what_the_script_gave(files):
    """``1e-08`` is a number, a date is a text, secrets and homes are not kept, null is nothing."""
    old, new = read(files / "config.yaml", OLD), read(files / "config.v2_04a0fc1.yaml", NEW)

    assert facts(old).run_id == facts(new).run_id == "ab12cd34"
    assert facts(old).config == {
        "eps": 1e-08, "started": "2024-01-01", "layers": [1, 2], "token_file": "~/token",
    }  # fmt: skip
    assert facts(new).config == {"eps": 1e-08, "lr": math.inf, "name": "yes"}
    assert facts(old).versions == {"python": "3.8.1", "wandb": "0.12.15"}
    assert "ann@" not in facts(new).dump()


def test_of_the_metadata_only_what_compares_runs_is_kept(files):
    """Script, commit, versions, start, GPUs."""
    found = facts(read(files / "wandb-metadata.json", json.dumps(METADATA)))

    assert found.script == "base_train.py"
    assert found.started_at == 1762350451.634931
    assert found.versions == {"python": "3.12.6", "cuda": "12.4", "git": "c0ffee"}
    assert found.effective == {"gpu": "NVIDIA H100 80GB HBM3", "gpu_count": 2}
    assert not [word for word in ("ann", "box", "secret", "example") if word in found.dump()]


def test_the_summary_keeps_the_scripts_own_keys(files):
    """NaN is a value; what W&B adds of its own is left out."""
    found = facts(read(files / "wandb-summary.json", '{"loss": NaN, "_step": 3, "a": {"b": 1}}'))

    assert math.isnan(found.summary.pop("loss"))
    assert found.summary == {"a": {"b": 1}}


def test_the_printed_lines_are_kept_as_they_stood_on_the_screen(files):
    """Colours go, of a progress bar its last state stays, and the metadata say when it began."""
    (files / "wandb-metadata.json").write_text(json.dumps(METADATA))
    reading = read(files / "output.log", "one\n 10%\r 100%\r\n\x1b[1mtwo\x1b[0m\n")

    assert reading.parts[0].console.rows() == [
        (1, None, "one"),
        (2, None, " 100%"),
        (3, None, "two"),
    ]
    assert facts(reading).started_at == 1762350451.634931


@pytest.mark.parametrize(
    ("program", "script"),
    [
        ("-m scripts.base_train", "scripts.base_train"),
        ("C:\\Users\\ann\\x\\train.py", "train.py"),
        ("<python with no main file>", "<python with no main file>"),
        (None, None),
        ("", None),
    ],
)
def test_of_the_program_only_its_own_name_is_kept(files, program, script):
    """A module or the last part of a path."""
    found = facts(read(files / "wandb-metadata.json", json.dumps({"program": program})))

    assert found.script == script


@pytest.mark.parametrize(
    "name", ["config.yaml", "files/config.yaml", "run-20260101_120000-ab12cd34/config.yaml"]
)
def test_files_of_these_names_elsewhere_are_not_w_and_bs(tmp_path, name):
    """Many programs have a config.yaml."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NEW)

    assert source_of(path) is None


def test_a_damaged_entry_costs_itself(files):
    """The entries around it are read."""
    reading = read(files / "config.yaml", "a:\n    value: 1\nb: [\nc:\n    value: 3\n")

    assert facts(reading).config == {"a": 1, "c": 3}
    assert [(reject.line, reject.raw) for reject in reading.rejects] == [(3, b"b: [\n")]


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from(["config.yaml", "wandb-summary.json", "wandb-metadata.json"]))
def test_truncation_at_any_byte_loses_at_most_the_entry_that_was_cut(tmp_path_factory, data, name):
    """What is left are entries of the whole file."""
    folder = tmp_path_factory.getbasetemp() / "run-20260101_120000-ab12cd34" / "files"
    folder.mkdir(parents=True, exist_ok=True)
    text = {
        "config.yaml": "".join(f"k{i}:\n    value: {i}.125\n" for i in range(5)),
        "wandb-summary.json": json.dumps({f"k{i}": i + 0.125 for i in range(5)}),
        "wandb-metadata.json": json.dumps(METADATA),
    }[name]
    end = data.draw(st.integers(0, len(text)))
    path = folder / name
    path.write_text(text)
    whole = facts(wandb_sidecars.read(path, 0, ()))
    path.write_text(text[:end])

    reading = wandb_sidecars.read(path, 0, ())
    cut = facts(reading)

    assert set(cut.config.items()) <= set(whole.config.items())
    assert set(cut.summary.items()) <= set(whole.summary.items())
    assert set(cut.versions.items()) <= set(whole.versions.items())
    ends = text[:end].count(".125\n") if name == "config.yaml" else text[:end].count(".125,")
    assert len(cut.config) + len(cut.summary) >= ends


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(tmp_path_factory, data):
    """Whatever a crash left in such a file."""
    folder = tmp_path_factory.getbasetemp() / "run-20260101_120000-zz12cd34" / "files"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("config.yaml", "wandb-summary.json", "wandb-metadata.json", "output.log"):
        path = folder / name
        path.write_bytes(data)
        wandb_sidecars.read(path, 0, ())
