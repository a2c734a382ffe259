"""Another program's JSONL -> one part for each run and segment, whatever shares the file."""

from __future__ import annotations

import math

import polars as pl
import pytest
from jsonl_files import put, rows

from etl import discover, sources
from etl.sources import foreign_jsonl, jsonl, jsonl_turns


def runs(reading):
    """Return run names with what each segment holds: (resumed from, first, last, points)."""
    found = {}
    for part in reading.parts:
        steps = part.points["step"]
        place = (part.facts.resume_step, steps.min(), steps.max(), part.points.height)
        found.setdefault(part.facts.name, []).append(place)
    return found


@pytest.mark.parametrize(
    ("row", "step"),
    [
        ({"iter": 7, "loss": 1.0}, "iter"),
        ({"iteration": 7, "loss": 1.0}, "iteration"),
        ({"_step": 7, "loss": 1.0}, "_step"),
        ({"trainer/global_step": 7, "epoch": 0, "loss": 1.0}, "trainer/global_step"),
        ({"trainer": {"global_step": 7}, "loss": 1.0}, "trainer.global_step"),
        ({"trainer": {"global_step": 7, "epoch": 2}, "eval": {"loss": 1.0}}, "trainer.global_step"),
    ],
)
def test_the_step_is_found_under_any_of_its_names_and_in_nested_objects(tmp_path, row, step):
    path = put(tmp_path / "a.jsonl", [row])
    (part,) = foreign_jsonl.read(path, 0, ()).parts

    assert part.facts.roles[step] == "step"
    assert part.points["step"].unique().to_list() == [7]
    assert step not in part.points["key"].to_list()


def test_a_nested_step_is_read_in_a_large_file_too(tmp_path):
    """The fast way knows top-level keys alone and hands over."""
    many = [{"trainer": {"global_step": i}, "loss": i / 7} for i in range(9000)]
    path = put(tmp_path / "a.jsonl", many)
    assert path.stat().st_size > jsonl.SMALL_BYTES
    (part,) = foreign_jsonl.read(path, 0, ()).parts

    assert part.points["step"].to_list() == list(range(9000))
    assert part.facts.keys == {"loss": 9000}


def test_a_step_key_that_a_person_names_comes_first(tmp_path):
    """And makes a log of a file that has no step otherwise."""
    epochs = put(tmp_path / "epochs.jsonl", [{"epoch": e, "loss": 1 / (e + 1)} for e in range(3)])
    both = put(tmp_path / "both.jsonl", [{"step": 0, "n": n, "loss": n / 2} for n in range(3)])
    usual = put(tmp_path / "usual.jsonl", rows(range(3)))

    assert not foreign_jsonl.recognises(epochs, epochs.read_bytes())
    told = sources.readers("epoch")[-1]
    assert told.recognises(epochs, epochs.read_bytes())
    assert runs(told.read(epochs, 0, ())) == {"epochs": [(None, 0, 2, 3)]}
    assert runs(told.read(usual, 0, ())) == {"usual": [(None, 0, 2, 3)]}
    assert runs(sources.readers("n")[-1].read(both, 0, ()))["both"][0][:3] == (None, 0, 2)


def test_rows_that_name_their_run_are_of_that_run_however_they_are_mixed(tmp_path):
    """A run_id is the run's own id; a name alone is made into one with the run's first line."""
    a, b = rows(range(20), run_id="alpha-1"), rows(range(20), 9.0, run_id="beta-2")
    mixed = [row for pair in zip(a, b, strict=True) for row in pair]
    reading = foreign_jsonl.read(put(tmp_path / "a.jsonl", mixed), 0, ())

    assert runs(reading) == {"alpha-1": [(None, 0, 19, 20)], "beta-2": [(None, 0, 19, 20)]}
    assert [p.facts.run_id for p in reading.parts] == ["alpha-1", "beta-2"]
    assert all(p.facts.id_known for p in reading.parts)
    assert reading.rejects == ()
    assert "run_id" not in reading.parts[0].facts.keys
    named = [{"experiment": row.pop("run_id"), **row} for row in mixed]
    named = foreign_jsonl.read(put(tmp_path / "b.jsonl", named), 0, ())
    assert sorted(runs(named)) == ["alpha-1", "beta-2"]
    assert not any(p.facts.id_known for p in named.parts)


def test_a_run_of_its_own_id_that_begins_again_is_resumed_and_no_other_run(tmp_path):
    """Its rows state whose they are."""
    path = put(
        tmp_path / "a.jsonl",
        rows(range(10), run_id="r-0001"),
        rows(range(5), 8.0, run_id="r-0001"),
    )

    assert runs(foreign_jsonl.read(path, 0, ())) == {"r-0001": [(None, 0, 9, 10), (0, 0, 4, 5)]}


def test_a_row_without_the_name_that_the_others_have_is_rejected(tmp_path):
    path = put(tmp_path / "a.jsonl", rows(range(3), run="x"), rows([3]), rows([4], run="x"))
    reading = foreign_jsonl.read(path, 0, ())

    assert runs(reading) == {"x": [(None, 0, 4, 4)]}
    assert [(r.line, "run" in r.reason) for r in reading.rejects] == [(4, True)]


def test_a_second_run_that_was_appended_is_another_run(tmp_path):
    """It begins where the first began."""
    path = put(tmp_path / "two.jsonl", rows(range(0, 50, 5)), rows(range(0, 80, 5), 7.0))
    reading = foreign_jsonl.read(path, 0, ())

    assert runs(reading) == {"two": [(None, 0, 45, 10)], "two (2)": [(None, 0, 75, 16)]}
    assert len({part.facts.run_id for part in reading.parts}) == 2
    assert reading.rejects == ()


def test_steps_that_go_back_within_the_run_are_a_resume(tmp_path):
    path = put(tmp_path / "one.jsonl", rows(range(100)), rows(range(60, 150)))
    reading = foreign_jsonl.read(path, 0, ())

    assert runs(reading) == {"one": [(None, 0, 99, 100), (60, 60, 149, 90)]}
    assert [part.facts.resumed for part in reading.parts] == [False, True]
    assert len({part.facts.run_id for part in reading.parts}) == 1
    first, second = (part.facts.segment_id for part in reading.parts)
    assert first < second


def test_the_step_that_was_logged_last_may_be_logged_once_more_by_a_resume(tmp_path):
    path = put(tmp_path / "one.jsonl", rows(range(10)), rows(range(9, 20), 3.5))

    assert runs(foreign_jsonl.read(path, 0, ()))["one"] == [(None, 0, 9, 10), (9, 9, 19, 11)]


def test_a_config_line_is_the_runs_config_and_tells_one_run_from_another(tmp_path):
    """What a config says of where it goes on from does not make it another."""
    slow, fast = {"config": {"lr": 0.1}}, {"config": {"lr": 0.5}}
    again = {"config": {"lr": 0.1, "resume_from": 6}}
    other = put(tmp_path / "a.jsonl", [slow], rows(range(10)), [fast], rows(range(6, 12)))
    same = put(tmp_path / "b.jsonl", [slow], rows(range(10)), [again], rows(range(6, 12)))

    found = foreign_jsonl.read(other, 0, ())
    assert runs(found) == {"a": [(None, 0, 9, 10)], "a (2)": [(None, 6, 11, 6)]}
    assert sorted(part.facts.config["lr"] for part in found.parts) == [0.1, 0.5]
    assert found.rejects == ()
    assert list(runs(foreign_jsonl.read(same, 0, ()))) == ["b"]
    silent = put(tmp_path / "c.jsonl", [slow], rows(range(10)), rows(range(5), 9.0))
    assert sorted(len(p.facts.config) for p in foreign_jsonl.read(silent, 0, ()).parts) == [0, 1]


def lockstep():
    return [row for i in range(20) for row in (*rows([i]), *rows([i], 9.0))]


def behind():
    """A second writer that began when the first was at step 10, and writes as often."""
    pairs = ((*rows([i]), *rows([i - 10], 9.0)) for i in range(10, 30))
    return [*rows(range(10)), *(row for pair in pairs for row in pair)]


@pytest.mark.parametrize(
    ("mixed", "kept", "line"),
    [(lockstep(), [0], 2), (behind(), [*range(11)], 12)],
    ids=["in lockstep", "ten steps behind"],
)
def test_rows_of_two_writers_at_once_are_quarantined_from_where_they_mix(
    tmp_path, mixed, kept, line
):
    """What came before the second writer's first row is whole, and stays."""
    path = put(tmp_path / "a.jsonl", mixed)
    reading = foreign_jsonl.read(path, 0, ())

    assert [part.points["step"].to_list() for part in reading.parts] == [kept]
    assert [(r.line, "several writers" in r.reason) for r in reading.rejects] == [(line, True)]
    assert reading.end == reading.rejects[0].at_byte
    assert reading.rejects[0].raw == path.read_bytes()[reading.end :]


def test_a_late_evaluation_or_a_second_row_of_a_step_is_no_turn(tmp_path):
    """Nor are a clock and an epoch that both rows of a step have."""
    late = [*rows(range(10), epoch=1), {"step": 4, "val": 1.0, "epoch": 1}, *rows([10], epoch=1)]
    pairs = (({"step": i, "loss": 1, "t": i}, {"step": i, "v": 2, "t": i + 0.5}) for i in range(9))
    twice = [row for pair in pairs for row in pair]

    for name, log in (("late", late), ("twice", twice)):
        reading = foreign_jsonl.read(put(tmp_path / f"{name}.jsonl", log), 0, ())
        assert len(reading.parts) == 1, name
        assert reading.rejects == ()


def test_a_log_written_twice_word_for_word_is_not_several_writers(tmp_path):
    """Equal rows of one step are one."""
    doubled = [row for row in rows(range(10)) for _ in range(2)]

    assert list(runs(foreign_jsonl.read(put(tmp_path / "a.jsonl", doubled), 0, ()))) == ["a"]


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_utf_16_is_quarantined_with_the_command_that_mends_it(tmp_path, mark):
    """PowerShell's > writes it."""
    kind = "utf-16-le" if mark == b"\xff\xfe" else "utf-16-be"
    path = tmp_path / "a.jsonl"
    path.write_bytes(mark + '{"step": 1, "loss": 2.0}\r\n'.encode(kind))

    assert discover.source_of(path) is sources.BY_KIND["jsonl"]
    reading = foreign_jsonl.read(path, 0, ())
    assert reading.parts == ()
    assert "iconv -f UTF-16 -t UTF-8 a.jsonl > new.jsonl" in reading.rejects[0].reason


def test_a_real_metrics_file_is_one_run_and_its_checkpoints_are_not_ours(fixtures, truths):
    for item in truths:
        path = fixtures / item["file"]
        if path.name == "checkpoints.jsonl":
            assert not foreign_jsonl.recognises(path, path.read_bytes())
        if path.name != "metrics.jsonl":
            continue
        (part,) = foreign_jsonl.read(path, 0, ()).parts
        truth = item["truth"]

        assert part.facts.rows == truth["rows"] == 298
        assert len({*part.facts.keys, *part.facts.roles}) == truth["n_keys"] == 79
        assert part.facts.first_step == truth["steps"]["first"]
        assert part.facts.last_step == truth["steps"]["last"]


def test_points_of_a_key_come_in_the_order_of_the_file(tmp_path):
    """How a large log is known to have no turns without looking at each of its lines."""
    path = put(tmp_path / "a.jsonl", rows(range(9000, 0, -1)))
    lines = jsonl.read(path, 0, "step", None)

    assert path.stat().st_size > jsonl.SMALL_BYTES
    assert lines.wide["step"].to_list() == list(range(9000, 0, -1))


def test_nan_is_the_same_value_as_nan():
    turns = jsonl_turns.Turns()

    assert [turns.row(step, {"loss": math.nan}) for step in (1, 1, 1, 2)] == [0, 0, 0, 0]


def test_a_large_log_with_a_resume_in_it_is_read_as_a_small_one(tmp_path):
    path = put(tmp_path / "a.jsonl", rows(range(6000)), rows(range(4000, 9000)))
    parts = foreign_jsonl.read(path, 0, ()).parts

    assert [part.points.height for part in parts] == [6000, 5000]
    assert parts[1].points.filter(pl.col("step") == 4000)["value"].to_list() == [3.0 - 40]


@pytest.mark.parametrize("odd", [{0}, {0, 60}, set(range(1, 25))], ids=str)
def test_a_line_that_is_not_utf_8_costs_itself_wherever_it_stands(place, odd):
    """The first line, too, by which a log is recognised."""
    lines = [f'{{"step": {s}, "loss": 1.0, "note": "caf\xe9"}}\n' for s in range(100)]
    encoded = [line.encode("latin-1" if s in odd else "utf-8") for s, line in enumerate(lines)]
    (place.logs / "run.jsonl").write_bytes(b"".join(encoded))
    done = place.sync(place.logs)

    assert done.code == 3
    found = place.rows("select line, reason from quarantine order by 1")
    assert found == [(s + 1, "not UTF-8") for s in sorted(odd)]
    steps = place.rows("select step from history where metric = 'loss' order by 1")
    assert steps == [(s,) for s in range(100) if s not in odd]


def test_a_log_of_which_no_line_is_utf_8_is_no_run(place):
    (place.logs / "run.jsonl").write_bytes(b'{"step": 1, "loss": 1.0, "note": "caf\xe9"}\n' * 3)
    place.log("good")
    done = place.sync(place.logs)

    assert (done.code, done.document["runs"], done.document["quarantined"]) == (3, 1, 3)
    assert "run.jsonl:1: not UTF-8" in done.err
    assert place.sync(place.logs).document["quarantined"] == 3


@pytest.mark.parametrize("count", [3, 9000])
def test_a_key_twice_in_one_object_has_its_last_value(place, count):
    """As Python and JavaScript have it; in small files and in large ones, which DuckDB reads."""
    lines = [f'{{"step": {s}, "loss": {s}.5, "note": "x"}}\n' for s in range(count)]
    lines[1] = '{"step": 7, "loss": 1.0, "loss": 2.0, "note": "x", "note": "y", "step": 1}\n'
    lines[2] = '{"step": 2, "loss": 1.0, "in": {"a": 1, "a": 2}, "loss": 3.0}\n'
    log = place.logs / "run.jsonl"
    log.write_text("".join(lines))
    assert (log.stat().st_size > jsonl.SMALL_BYTES) == (count > 3)
    place.sync(place.logs)

    select = "select metric, step, coalesce(text, value::varchar) from history"
    found = place.rows(f"{select} where step in (1, 2) order by all")
    assert found == [("in.a", 2, "2.0"), ("loss", 1, "2.0"), ("loss", 2, "3.0"), ("note", 1, "y")]
