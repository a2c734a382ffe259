"""What is secret, a person or a place on a machine leaves no source; what only looks so does."""

from __future__ import annotations

import json
import time
from contextlib import closing

import event_files
import pytest

from etl import project, snapshot
from etl.sources.private import is_private, lines, name, public, text

PRINTED = [
    "loading /home/needle/data as needle@corp.example on gpu17.needle.example 10.20.30.40",
    "WANDB_API_KEY=0123456789abcdef0123456789abcdef01234567 password=needlepw token: tok-needle-1",
    "-----BEGIN PRIVATE KEY-----",
    "MIIneedle",
    "-----END PRIVATE KEY-----",
    "step 3",
]


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
        "xoxb-123456789012-abcdefghijkl",
        "-----BEGIN PRIVATE KEY-----\nMIIabcdefghijkl\n-----END PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nMIIabcdefghijkl",
        "eyJhbGciOiJI.eyJhYmNkZWZn.abcdefghijkl",
        "s3://AKIAIOSFODNN7EXAMPLE:abcdefghijkl/K7MDENG/bPxRfiCYEXAMPL@bucket",
        "AKIAIOSFODNN7EXAMPLE abcdefghijkl/K7MDENG/bPxRfiCYEXAMPLEKEYz",
        "s3://bucket/runs with abcdefghijkl/K7MDENG/bPxRfiCYEXAMPLEKEYz",
        "https://api.example/v1?api_key=abcdefghijkl&x=1",
        "https://store.example/a?sv=2&X-Amz-Signature=abcdefghijkl",
        "WANDB_API_KEY=abcdefghijkl0123456789abcdef",
        "export wandb_token = '0123456789abcdef0123456789abcdef01234567'",
        "wandb: your key is 0123456789abcdef0123456789abcdef01234567",
        "password=abcdefghijkl",
        '{"client_secret": "abcdefghijkl"}',
        "token: tok-abcdefghijkl",
        "/scratch/abcdefghijkl/ckpt",
        "/lustre/scratch2/abcdefghijkl",
        "/mnt/nfs/users/abcdefghijkl/ckpt",
        "s3://bucket/users/abcdefghijkl/x",
        "file:///home/abcdefghijkl/x",
        "scp to abcdefghijkl@gpu17:/data",
        "running on gpu17.abcdefghijkl.example",
        "node-3.abcdefghijkl.com:29500",
        "SLURM_NODELIST=abcdefghijkl[17-19]",
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
        ("torch", "2.4.0.1"),
        ("cuda_version", "12.3.1.170"),
        ("pip", "nvidia-curand-cu12==10.3.5.147"),
        ("pip", "nvidia-cusparse-cu12    12.3.1.170"),
        ("bound", "127.0.0.1:29500"),
        ("range", "1.5:2.5"),
        ("at", "2026-11-28 12:30:45"),
        ("slice", "[::2]"),
        ("path", "models--gpt2/snapshots/0123456789abcdef0123456789abcdef01234567"),
        ("log", "at commit 0123456789abcdef0123456789abcdef01234567"),
        ("eos", "eos_token: <|endoftext|>"),
        ("eos", "eos_token=end-of-text-1"),
        ("flops", "FLOPs per token: 3.491758e+09"),
        ("prose", "the next token: international"),
        ("prose", "password: required"),
        ("rates", "tokens: 1234567 key: step_1000"),
        ("cache", "/scratch/datasets/fineweb/shard_00001.bin"),
        ("shard", "/scratch/shard_00001.bin"),
        ("metric", "eval/users/total"),
        ("url", "https://huggingface.co/datasets/fineweb?step=3&sort_by=x"),
        ("port", "https://example.com:8080/pkg@1.0"),
        ("layer", "layer10.attn.weight and node3.mlp.bias"),
        ("bucket", "s3://bucket/CheckpointsOfRun12/abcdefghijklmnopqrst"),
        ("tokenizer", "meta-llama/Llama-3.2-1B"),
    ],
)
def test_what_only_resembles_a_secret_stays(key, value):
    assert public({key: value}) == {key: value}


def test_entries_of_private_names_are_left_out_and_settings_of_tokens_are_not():
    kept = {"num_tokens": 1, "max_new_tokens": 2, "tokenizer": "x", "user_config": 3, "depth": 4}
    kept |= {"pad_token": "<pad>", "eos_token": "</s>", "ip_adapter": 5, "addressed": 6}
    gone = {"hf_token": 1, "WANDB_API_KEY": 2, "user": 3, "hostname": 4, "host_ip": 5, "e-mail": 6}
    gone |= {"master_addr": 1, "node_list": 2, "ip": 3, "server_address": 4, "passphrase": 5}

    assert public(kept | gone) == kept
    assert all(map(is_private, gone))


@pytest.mark.parametrize(
    "address",
    ["10.20.30.40", "54.12.3.4:22", "at 8.8.4.4", "fe80::1ff:fe23:4567:890a", "[2001:db8::1:2]"],
)
def test_an_address_of_a_machine_is_left_out(address):
    """Small numbers of which nothing says that they are an address are a version."""
    said = text(f"rank 3 {address}")

    assert said.startswith("rank 3 ")
    assert not any(part in said for part in address.split() if part != "at")


def test_a_key_with_a_home_folder_is_kept_under_a_name_of_its_own():
    """That of another home is another name, and a name that was given stays as it is."""
    keys = ["/home/needle/loss", "/home/other/loss", "~/loss", "train/tokens", "a/users/total"]
    names = [name(key) for key in keys]

    assert len(set(names)) == len(keys)
    assert "needle" not in str(names)
    assert names[2:] == keys[2:]
    assert [*map(name, names)] == names


@pytest.mark.parametrize(
    "piece", ["-", "_", "a_", "gpu1-", "token ", "a1.", "a@", ":ab", "/a", "/scratch"]
)
def test_a_text_that_is_made_to_take_long_does_not(piece):
    """Of a pattern that is tried at each place and runs on from each, this would be minutes."""
    began = time.process_time()
    text(piece * (60_000 // len(piece)))
    text("token" + " " * 60_000)

    assert time.process_time() - began < 10


def test_a_private_key_that_was_printed_is_left_out_line_by_line():
    """Its first line may be among those that are not kept."""
    body = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
    printed = ["-----BEGIN RSA PRIVATE KEY-----", body, "short==", "-----END RSA PRIVATE KEY-----"]

    assert lines([body, "step 1", *printed, "step 2", "a" * 64]) == [
        "(left out)",
        "step 1",
        *["(left out)"] * 4,
        "step 2",
        "a" * 64,
    ]


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


def test_a_home_folder_in_the_name_of_a_metric_reaches_no_table_and_no_point_is_lost(place):
    """Whether its values are numbers or texts, few or many, and when the log has grown."""
    log = place.logs / "run.jsonl"
    homes = {"/home/needle/loss": 2.0, "/home/needles/loss": 3.0}
    for steps in (range(3), range(3, 9000)):
        rows = [{"step": s, "loss": 1.0, **homes, "/home/needle/said": f"x{s % 3}"} for s in steps]
        with log.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        place.sync(place.logs)

    counted = place.rows("select count(*), min(value) from history group by metric order by 2")
    assert counted == [(9000, 1.0), (9000, 2.0), (9000, 3.0), (9000, None)]
    for table in ("history", "summary", "metrics", "keys"):
        assert "needle" not in str(place.rows(f"select distinct * from {table}")), table


def test_the_printed_lines_of_a_snapshot_hold_no_secret(place):
    """Neither a machine, nor a key that spans lines."""
    event = {"_kind": "console", "_ts": 1.8e9, "lines": PRINTED}
    with place.log("r1").open("ab") as file:
        file.write(json.dumps(event).encode() + b"\n")
    demo = project.locate("demo", place.data)
    demo.folder.mkdir(parents=True)
    demo.settings_file.write_text("console_lines = 40\n", encoding="utf-8")
    manifest = snapshot.read_manifest(demo, place.sync(place.logs).document["snapshot"])
    with closing(snapshot.connect(demo, manifest)) as db:
        shown = [
            text for (text,) in db.execute("select text from console order by line").fetchall()
        ]

    assert len(shown) == len(PRINTED)
    assert shown[-1] == "step 3"
    assert not any(word in str(shown) for word in ("needle", "0123456789abcdef", "10.20."))


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
