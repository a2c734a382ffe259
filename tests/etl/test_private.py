"""What is secret, a person or a place on a machine leaves no source; what only looks so does."""

from __future__ import annotations

import json

import event_files
import pytest

from etl.sources.private import is_private, public, text


@pytest.mark.parametrize(
    "value",
    [
        "python train.py --api_key=abcdefghijkl",
        "run --hf-token abcdefghijkl now",
        "https://user:abcdefghijkl@example.com/x",
        "use sk-abcdefghijklmnopqrst please",
        "github_pat_abcdefghijklmnopqrst",
        "Bearer abcdefghijkl",
        "0123456789abcdef0123456789abcdef01234567",
        "write to abcdefghijkl@example.com",
        "/home/abcdefghijkl/nanochat",
        "/mnt/home/abcdefghijkl/nanochat",
        "C:\\Users\\abcdefghijkl\\run",
        "~abcdefghijkl/nanochat",
    ],
)
def test_a_text_loses_what_is_private_in_it(value):
    said = text(value)

    assert said != value
    assert "abcdefghijkl" not in said
    assert "0123456789abcdef" not in said


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("git_commit", "0123456789abcdef0123456789abcdef01234567"),
        ("data", "/data/fineweb/shard_00001.parquet"),
        ("train/epoch", "1 pq: 3 rg: 12"),
        ("tokenizer", "gpt2"),
        ("optimizer", "muon@0.95"),
        ("cmd_every", "--eval_every=250"),
    ],
)
def test_what_only_resembles_a_secret_stays(key, value):
    assert public({key: value}) == {key: value}


def test_entries_of_private_names_are_left_out_and_settings_of_tokens_are_not():
    kept = {"num_tokens": 1, "max_new_tokens": 2, "tokenizer": "x", "user_config": 3, "depth": 4}
    gone = {"hf_token": 1, "WANDB_API_KEY": 2, "user": 3, "hostname": 4, "host_ip": 5, "e-mail": 6}

    assert public(kept | gone) == kept
    assert all(map(is_private, gone))


def test_in_a_list_what_follows_a_secrets_flag_is_left_out():
    """As argv has it."""
    assert public(["--depth", "4", "--wandb-key", "abc"]) == [
        "--depth",
        "4",
        "--wandb-key",
        "(left out)",
    ]


def test_no_secret_of_a_log_reaches_what_leaves_the_machine(place):
    """Config, name, texts of history: neither the frozen tables nor the parts have them."""
    rows = [
        {"step": 1, "loss": 2.0, "note": "saved to /home/needle/x", "api_key": "needle-key"},
        {"step": 2, "loss": 1.0, "note": "use hf_needleneedleneedleneedle"},
    ]
    log = place.logs / "run.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    place.log(config={"argv": "x --password needle", "user": "needle"}, name="/home/needle/run")
    place.sync(place.logs)

    texts = place.rows("select text from history where text is not null")
    assert texts
    for table in ("runs", "config", "history", "summary", "segments"):
        assert "needle" not in str(place.rows(f"select * from {table}")), table


def test_the_host_in_the_name_of_an_event_file_is_in_no_snapshot(place):
    """TensorBoard's writers put it there; the manifest names files, and travels."""
    log = place.logs / "run1" / "events.out.tfevents.1000000000.needlehost.12.0"
    log.parent.mkdir()
    content = event_files.version() + event_files.scalar(1e9 + 1, 1, "train/loss", 2.0)
    log.write_bytes(content)
    synced = place.sync(place.logs)
    (manifest,) = (synced.folder / "snapshots").glob("*.json")

    assert '"events.out.tfevents.1000000000"' in manifest.read_text()
    assert "needlehost" not in manifest.read_text()
