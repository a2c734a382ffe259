"""What strange files, clocks and copies may do: cost themselves, and nothing else."""

from __future__ import annotations

import json

import pytest
import wandb_files

from hooks import record


def header(**more):
    fields = {
        "v": 1,
        "run_id": "odd",
        "segment": "s1",
        "project": "demo",
        "name": "odd",
        "config": {},
    }
    return (json.dumps({"_kind": "run", "_ts": 1.8e9, **fields, **more}) + "\n").encode()


def rows(steps, ts=1.8e9, **metrics):
    lines = (record.encode_history(s, ts + s, metrics or {"loss": float(s)})[0] for s in steps)
    return b"".join(lines)


def event(kind, **fields):
    return (json.dumps({"_kind": kind, "_ts": 1.8e9, **fields}) + "\n").encode()


def deep(levels):
    value = {}
    for _ in range(levels):
        value = {"a": value}
    return value


DEEP = wandb_files.field(16, "[" * 100_000 + "]" * 100_000)
KEPT = """
    select list(distinct step order by step)[:3], max(step) from history
    where metric = 'loss' and step <> 7
"""
STRANGE = [
    *({"stage": v} for v in (5, ["sft"], True, "\ud800")),
    *({"script": v} for v in (5, "\ud800")),
    *({"source_project": v} for v in ([1], "\ud800")),
    *({"config": v} for v in ("abc", [1], 5, deep(400), {"\ud800": "\ud800"}, {"x": float("nan")})),
    *({"rank": v} for v in ("x", [1], 2**40, None)),
    *({"resume_step": v} for v in (2**70, "x", 1.5)),
    *({"run_id": v} for v in (7, "\ud800", "a'; drop table runs; --", "x" * 500, "a/b\nc")),
    *({"versions": v} for v in ("abc", {"a": 1})),
    {"name": "\u202e\0"},
    {"parent_run_id": "\ud800"},
]


@pytest.mark.parametrize("odd", STRANGE, ids=lambda odd: ascii(odd)[:40])
def test_a_strange_header_field_costs_that_field_and_no_point(place, odd):
    """Its own points are read, and so are those of the good log beside it."""
    (place.logs / "odd.jsonl").write_bytes(
        header(**odd) + rows(range(3)) + event("finish", exit_code=0)
    )
    place.log("good")
    done = place.sync(place.logs)

    assert (done.code, done.document["runs"], done.document["points"]) == (0, 2, 23), done.err


@pytest.mark.parametrize("value", ["oops", 2**40, [1], None])
def test_a_strange_exit_code_is_no_exit_code(place, value):
    (place.logs / "odd.jsonl").write_bytes(
        header() + rows(range(3)) + event("finish", exit_code=value)
    )
    done = place.sync(place.logs)

    assert (done.code, done.document["points"]) == (0, 3)
    assert place.rows("select exit_code, state from runs") == [(None, "finished")]


@pytest.mark.parametrize(
    "line",
    [
        b'{"step": 7, "\\ud800": 1.0}',
        b'{"step": 7, "_ts": ' + b"9" * 400 + b', "loss": 1.0}',
        b'{"step": 7, "loss": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"step": 9007199254740992, "loss": 1.0}',
        b'{"_kind": "config", "config": 5}',
        b'{"_kind": "summary", "summary": "x"}',
    ],
    ids=lambda line: str(line[:30]),
)
def test_a_strange_line_costs_at_most_itself(place, line):
    (place.logs / "odd.jsonl").write_bytes(header() + rows(range(3)) + line + b"\n" + rows([8]))
    done = place.sync(place.logs)

    assert done.code in (0, 3)
    assert place.rows(KEPT) == [([0, 1, 2], 8)]


@pytest.mark.parametrize(
    "record_",
    [
        wandb_files.history({"step": 1e20, "x": 1.0}),
        wandb_files.history({"_step": 2**63, "x": 1.0}),
        wandb_files.history({"x": "\ud800", "y": 10**400}),
        wandb_files.field(2, wandb_files.field(1, wandb_files.field(1, "x") + DEEP)),
        wandb_files.field(
            2, wandb_files.field(1, wandb_files.field(1, 5) + wandb_files.field(6, 1))
        ),
        wandb_files.field(2, wandb_files.field(2, 7)),
        wandb_files.field(18, wandb_files.field(1, 2**40)),
        wandb_files.field(
            5,
            wandb_files.field(
                1,
                wandb_files.field(1, "runatlas")
                + wandb_files.field(16, '{"resume_step": "abc", "stage": 5}'),
            ),
        ),
    ],
    ids=range(8),
)
def test_a_strange_wandb_record_costs_at_most_itself(place, record_):
    good = [wandb_files.history({"loss": float(s), "_step": s}) for s in range(3)]
    records = [wandb_files.run(), *good, record_, wandb_files.exit_record()]
    (place.logs / "run-r1.wandb").write_bytes(wandb_files.pack(records)[0])
    done = place.sync(place.logs)

    assert done.code in (0, 3), done.err
    assert place.rows("select count(*) from history where metric = 'loss'") == [(3,)]


def test_a_damaged_header_line_costs_no_history(place):
    """The hooks' file names say whose lines they are."""
    path = place.log("r7", steps=range(100))
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"config":{}', b'"config":{<'))
    done = place.sync(place.logs)

    assert (done.code, done.document["points"]) == (3, 200)
    assert place.rows("select run_id from runs") == [("r7",)]


def test_a_damaged_run_record_costs_its_block_and_not_the_file(place):
    history = [wandb_files.history({"loss": s, "_step": s, "x": "y" * 900}) for s in range(300)]
    data = bytearray(
        wandb_files.pack([wandb_files.run("r9"), *history, wandb_files.exit_record()])[0]
    )
    data[20] ^= 255
    (place.logs / "run-r9.wandb").write_bytes(bytes(data))
    done = place.sync(place.logs)

    assert done.code == 3
    assert place.rows("select run_id, max(last_step) from runs group by 1") == [("r9", 299)]
    assert "named after the file" in done.err


def test_a_continuation_whose_clock_is_behind_is_still_a_continuation(place):
    one = header(segment="s1") + rows(range(10))
    two = header(segment="s2", resumed=True, resume_step=8, _ts=1.7e9) + rows(range(8, 20), 1.7e9)
    (place.logs / "one.jsonl").write_bytes(one)
    (place.logs / "two.jsonl").write_bytes(two)
    place.sync(place.logs)

    spans = "select segment, min(step), max(step) from history group by 1 order by 1"
    assert place.rows(spans) == [(0, 0, 7), (1, 8, 19)]


def test_a_deleted_log_keeps_its_points_when_an_earlier_segment_arrives(place):
    """Rows are renumbered although their file is gone."""
    two = place.logs / "two.jsonl"
    two.write_bytes(
        header(segment="s2", resumed=True, resume_step=8, _ts=1.9e9) + rows(range(8, 20))
    )
    place.sync(place.logs)
    two.unlink()
    (place.logs / "one.jsonl").write_bytes(header(segment="s1") + rows(range(10)))
    done = place.sync()

    assert done.document["points"] == 20
    assert place.rows("select segment, count(*) from history group by 1 order by 1") == [
        (0, 8),
        (1, 12),
    ]


def test_two_logs_in_one_file_are_never_mixed(place):
    """As of ``cat a.jsonl b.jsonl``: the second is quarantined where it begins."""
    one = header(run_id="a") + rows(range(5))
    two = header(run_id="b", segment="s2") + rows(range(5), loss=77.0)
    (place.logs / "all.jsonl").write_bytes(one + two)
    done = place.sync(place.logs)

    assert done.code == 3
    assert "all.jsonl:7: the log of another run begins here" in done.err
    assert place.rows("select distinct run_id, max(value) from history group by 1") == [("a", 4.0)]


def test_a_file_that_now_holds_another_run_takes_nothing_away(place):
    path = place.logs / "log.jsonl"
    path.write_bytes(header(run_id="first") + rows(range(5)))
    place.sync(place.logs)
    path.write_bytes(header(run_id="second", segment="s9") + rows(range(3)))
    done = place.sync()

    assert done.document["points"] == 8
    assert "now holds run second; what was read of run first is kept" in done.err
    path.write_bytes(b"")
    assert place.sync().document["points"] == 8


def test_a_log_that_was_rewritten_shorter_is_read_anew(place):
    """A crashed stage that is started again truncates its log."""
    path = place.logs / "log.jsonl"
    path.write_bytes(header() + rows(range(50)))
    place.sync(place.logs)
    path.write_bytes(header() + rows(range(5), loss=2.0))
    place.sync()

    assert place.rows("select count(*), max(value) from history") == [(5, 2.0)]


def test_copies_of_a_live_file_under_other_names_change_nothing(place):
    path = place.log("live", steps=range(30))
    data = path.read_bytes()
    expected = place.sync(path, project="alone").document["snapshot"]
    for at in (0.3, 0.6, 1.0):
        cut = data[: data.rindex(b"\n", 0, int(len(data) * at)) + 1]
        (place.logs / f"copy{at}.jsonl").write_bytes(cut)
    done = place.sync(place.logs, project="copies")

    assert (done.code, done.document["points"]) == (0, 60)
    assert place.history("copies") == place.history("alone")
    assert place.sync(path, project="alone").document["snapshot"] == expected


def test_agreement_of_two_sources_that_log_a_step_twice_is_no_disagreement(place):
    lines = header(run_id="r1", segment="1800000000.000000")
    for value in (1.0, 2.0):
        lines += rows([3], loss=value)
    (place.logs / "r1.jsonl").write_bytes(lines)
    twice = [
        wandb_files.history({"step": 3, "loss": v, "_step": i}) for i, v in enumerate((1.0, 2.0))
    ]
    records = [wandb_files.run(), *twice, wandb_files.exit_record()]
    (place.logs / "run-r1.wandb").write_bytes(wandb_files.pack(records)[0])
    place.sync(place.logs)

    assert place.rows("select value from history") == [(2.0,)]
    assert place.rows("select * from disagreements") == []
