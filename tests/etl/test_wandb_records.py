"""What a ``.wandb`` file says beside its history: every kind of record, of every SDK."""

from __future__ import annotations

import json
import math

import pytest
import wandb_files
from wandb_files import field

from etl.sources import wandb_log, wandb_offline, wire


def part_of(tmp_path, *records):
    """The one part of a file of these records."""
    path = tmp_path / "run-r1.wandb"
    path.write_bytes(wandb_files.pack([*records, wandb_files.exit_record()])[0])
    (part,) = wandb_offline.read(path, 0, ()).parts
    return part


def row_of(*items):
    return field(1, 2) + field(2, b"".join(field(1, item) for item in items))


def cells(part):
    return {(key, step): (value, text) for key, step, value, text, _ in part.points.rows()}


def console(part):
    return [] if part.console is None else part.console["text"].to_list()


def test_every_real_file_gives_the_measurements_and_lines_that_were_counted(fixtures, truths):
    """Stats records and their keys, console records and every word of them, the SDK, the exit."""
    for item in truths:
        if item["kind"] != "wandb_offline" or "truth" not in item:
            continue
        path, truth = fixtures / item["file"], item["truth"]
        (part,) = wandb_offline.read(path, 0, ()).parts
        with path.open("rb") as file:
            batches = list(wandb_log.Walk(file, 7).batches())
        records = [b.record(i) for b in batches for i in range(len(b.starts))]
        bodies = [(n, body) for record in records for n, body in wire.fields(record)]
        measured = [body for n, body in bodies if n == 7]
        printed = [dict(wire.fields(body)) for n, body in bodies if n in (4, 13)]

        assert len(printed) == truth["console_records"]
        assert len(measured) == truth["stats_records"]
        keys = set(part.telemetry["key"]) if part.telemetry is not None else set()
        if truth["run"]["cli_version"] < "0.13":  # the network was one key, a dict
            keys = {"network" if "network" in key else key for key in keys}
        assert len(keys) == truth["stats_keys"]
        assert part.facts.versions["wandb"] == truth["run"]["cli_version"]
        assert part.facts.versions["python"] == truth["run"]["py"]
        assert part.facts.finished == (truth["exit"] is not None)
        assert part.facts.exit_code == (truth["exit"] or {}).get("exit_code")
        assert len(set(part.facts.config)) == len(set(truth["config_top"]) - {"_wandb"})
        for stream in (0, 1):
            said = b"".join(p.get(3, b"") for p in printed if p.get(1, 0) == stream).decode()
            if "\r" in said or "\x1b" in said:
                continue
            lines = [line.rstrip() for line in said.split("\n")]
            assert set(lines) - {""} <= set(console(part))


def test_a_progress_bar_is_its_last_state(tmp_path):
    """What is written over is gone; what a shorter text leaves of a longer one stays."""
    pieces = ["\r  0%|", "\r 50%|##", "\r100%|####\n", "abc\rX\n", "left\x1b[2K\rright\n", "a\bb\n"]
    printed = [wandb_files.output(piece) for piece in pieces]

    assert console(part_of(tmp_path, wandb_files.run(), *printed)) == [
        "100%|####", "Xbc", "right", "b"
    ]  # fmt: skip


def test_colours_and_junk_of_the_terminal_are_dropped(tmp_path):
    """The ranks of nanochat clear their line with ESC [K; windows end lines with CR LF."""
    pieces = ["\x1b[34m\x1b[1mwandb\x1b[0m: hi\n", "\r\x1b[KRank 0 | 1/2", "\r\x1b[KRank 0\r\n"]
    printed = [wandb_files.output(piece) for piece in pieces]

    assert console(part_of(tmp_path, wandb_files.run(), *printed)) == ["wandb: hi", "Rank 0"]


def test_streams_do_not_break_each_others_lines(tmp_path):
    """Both streams arrive in pieces between each other, in records of either kind."""
    part = part_of(
        tmp_path,
        wandb_files.run(),
        wandb_files.output("out ", 10),
        wandb_files.output("err\nmore", 11, 0),
        wandb_files.output("put\n", 12, raw=False),
    )

    assert part.console.rows() == [(0, 11.0, "err"), (1, 12.0, "out put"), (2, 11.0, "more")]


def test_memory_for_a_line_that_never_ends_is_bounded(tmp_path):
    """Megabytes of dots come as lines of a bounded length, none of them lost."""
    dots = [wandb_files.output("." * 30_000) for _ in range(40)]
    lines = console(part_of(tmp_path, wandb_files.run(), *dots))

    assert sum(map(len, lines)) == 40 * 30_000
    assert max(map(len, lines)) <= 65_536


def test_measurements_of_the_machine_have_the_keys_that_wandb_shows(tmp_path):
    """Old SDKs give the network as one object; what is no number is not made one."""
    old = wandb_files.stats({"cpu": 1.5, "network": {"sent": 3, "recv": 4}}, 10)
    new = wandb_files.stats({"gpu.0.gpu": 99, "odd": "text", "none": None}, 20)
    part = part_of(tmp_path, wandb_files.run(), old, new)

    assert sorted(part.telemetry.rows()) == [
        ("system.cpu", 10.0, 1.5),
        ("system.gpu.0.gpu", 20.0, 99.0),
        ("system.network.recv", 10.0, 4.0),
        ("system.network.sent", 10.0, 3.0),
    ]


def test_a_histogram_is_one_text_whichever_sdk_wrote_it(tmp_path):
    """One dict up to 0.16, three keys since 0.18, in any order, whole floats as Go writes them."""
    old = wandb_files.item("h", '{"_type": "histogram", "values": [1.0, 2], "bins": [0, 0.5, 1]}')
    parts = {"bins": "[0,0.5,1]", "_type": '"histogram"', "values": "[1,2]"}
    new = [wandb_files.item(("h", name), text) for name, text in parts.items()]
    expected = {
        ("h", 0): (None, '{"_type": "histogram", "bins": [0, 0.5, 1], "values": [1, 2]}'),
    }

    assert cells(part_of(tmp_path, wandb_files.run(), row_of(old))) == expected
    assert cells(part_of(tmp_path, wandb_files.run(), row_of(*new))) == expected


def test_media_are_references_as_text_and_other_dicts_are_keys(tmp_path):
    """A file below a dict: the dict is opened, the file is one value."""
    media = {"_type": "image-file", "path": "media/i.png", "sha256": "ab", "size": 3}
    old = wandb_files.item("eval", json.dumps({"acc": 0.5, "sample": media}))
    leaves = {("eval", "acc"): 0.5} | {("eval", "sample", k): v for k, v in media.items()}
    new = [wandb_files.item(path, json.dumps(value)) for path, value in leaves.items()]
    expected = {
        ("eval.acc", 0): (0.5, None),
        ("eval.sample", 0): (None, json.dumps(media, sort_keys=True)),
    }

    assert cells(part_of(tmp_path, wandb_files.run(), row_of(old))) == expected
    assert cells(part_of(tmp_path, wandb_files.run(), row_of(*new))) == expected


@pytest.mark.parametrize(
    ("axis", "row", "key"),
    [
        ("train/global_step", {"train/global_step": 8}, "train/global_step"),
        ("train/global_step", {"train/global_step": 8, "iter": 3}, "train/global_step"),
        ("iter", {"global_step": 3, "iter": 8}, "iter"),
        (None, {"iter": 8}, "iter"),
        (None, {"global_step": 8, "iteration": 3}, "global_step"),
        ("train/global_step", {"train/global_step": 0, "step": 8}, "step"),
        ("epoch", {"epoch": 1, "trainer/global_step": 8}, "trainer/global_step"),
    ],
)
def test_the_step_is_the_one_that_the_script_means(tmp_path, axis, row, key):
    """``step`` before the x axis of define_metric before what is usual; epochs are no steps."""
    defined = [wandb_files.metric("*", axis)] if axis else []
    rows = [wandb_files.history({"loss": 2.5, "_step": 1, **row})]
    rows += [wandb_files.history({"later": 1.5, "_step": 2})]
    part = part_of(tmp_path, wandb_files.run(), *defined, *rows)

    assert part.facts.roles == {key: "step", "_step": "log index"}
    assert cells(part)["loss", 8] == (2.5, None)
    assert cells(part)["later", 8] == (1.5, None)
    assert not part.facts.log_index_steps


def test_steps_that_the_script_gives_to_log_are_no_counts_of_calls(tmp_path):
    """W&B's telemetry says so; without it ``_step`` starts anew in every resumed process."""
    row = wandb_files.history({"loss": 2.5, "_step": 300})
    given = field(1, 2) + field(11, field(3, field(61, 1)))

    assert part_of(tmp_path, wandb_files.run(), row).facts.log_index_steps
    part = part_of(tmp_path, wandb_files.run(), row, given)
    assert not part.facts.log_index_steps
    assert part.points["step"].to_list() == [300]


def test_a_value_of_the_step_key_that_is_no_step_is_said(tmp_path):
    rows = [{"step": 1, "a": 1.0}, {"step": math.nan, "a": 2.0}, {"step": "x", "a": 3.0}]
    path = tmp_path / "run-r1.wandb"
    records = [wandb_files.run(), *map(wandb_files.history, rows), wandb_files.exit_record()]
    path.write_bytes(wandb_files.pack(records)[0])
    reading = wandb_offline.read(path, 0, ())

    assert reading.parts[0].points["step"].to_list() == [1, 1, 1]
    assert reading.notes == ("2 values of the step key 'step' are no steps",)


def test_the_commit_is_kept_and_the_remote_with_its_password_is_not(tmp_path):
    """Nor who ran it, on which host, in which folder, with which arguments."""
    git = field(1, "https://me:hunter2@git/x") + field(2, "abc123")
    environment = (
        field(2, "CPython 3.12.6") + field(5, "--token=hunter2") + field(6, "/home/me/train.py")
        + field(9, git) + field(10, "me@x.org") + field(12, "hunter2-host") + field(13, "me")
        + field(18, "NVIDIA H100") + field(19, 8) + field(25, "12.4")
    )  # fmt: skip
    facts = part_of(tmp_path, wandb_files.run(), field(26, environment)).facts

    assert facts.versions == {
        "python": "3.12.6", "git_commit": "abc123", "gpu": "NVIDIA H100", "gpu_count": "8",
        "cuda": "12.4",
    }  # fmt: skip
    assert facts.script == "train.py"
    assert "hunter2" not in facts.dump()
    assert "/home/me" not in facts.dump()


@pytest.mark.parametrize(("origin", "parent"), [("base7", "base7"), ("r1", None)])
def test_a_fork_has_a_parent_and_a_rewound_run_is_itself(tmp_path, origin, parent):
    branch = {"branch_point": {"run_id": origin, "step": 40}}
    facts = part_of(tmp_path, wandb_files.run(depth=4, _wandb=branch)).facts

    assert facts.parent_run_id == parent
    assert facts.resumed == (parent is None)
    assert facts.config == {"depth": 4}


def test_the_summary_is_what_all_changes_leave(tmp_path):
    """Of thousands of changes the last one of each key counts, removals and nesting included."""
    changes = [wandb_files.summary({"loss": n, f"k{n % 3}": n}) for n in range(400)]
    changes.insert(200, wandb_files.summary({"gone": 1, "stays": 2}))
    changes.insert(300, wandb_files.summary({"loss": 7, "both": 1}, "gone", "both"))
    best = [(("acc", "max"), "0.5"), (("_wandb", "runtime"), "9")]
    nested = b"".join(field(1, wandb_files.item(path, text)) for path, text in best)
    part = part_of(tmp_path, wandb_files.run(), *changes, field(1, 2) + field(3, nested))

    assert part.facts.summary == {
        "loss": 399, "k0": 399, "k1": 397, "k2": 398, "stays": 2, "acc": {"max": 0.5}
    }  # fmt: skip


def test_a_summary_record_that_cannot_be_read_is_refused_whole(tmp_path):
    """What it replaced stands again, and the other records of the file are read."""
    path = tmp_path / "run-r1.wandb"
    changes = [wandb_files.summary({"a": n, "b": n}) for n in range(100)]
    broken = field(1, wandb_files.item("a", "7")) + field(1, wandb_files.item("b", "tru"))
    records = [wandb_files.run(), *changes, field(1, 2) + field(3, broken)]
    path.write_bytes(wandb_files.pack([*records, wandb_files.exit_record()])[0])
    reading = wandb_offline.read(path, 0, ())

    assert reading.parts[0].facts.summary == {"a": 99, "b": 99}
    assert [reject.raw for reject in reading.rejects] == [records[-1]]
