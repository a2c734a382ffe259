"""TensorBoard event files -> points: real ones, cut, damaged, growing, restarted."""

from __future__ import annotations

import json
import math
import struct

import event_files as ef
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources import ALL, tensorboard

NAME = "events.out.tfevents.1000000000.box"


def read(folder, data, name=NAME):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return tensorboard.read(folder / name, 0, ())


def log(steps, ts=1e9 + 0.5):
    rows = [ef.scalar(ts + step, step, "loss", 3 - step / 8) for step in steps]
    return [ef.version(ts), *rows]


def values(reading):
    return [p.points.select("key", "step", "value", "text").rows() for p in reading.parts]


def test_every_real_file_gives_exactly_the_tags_and_counts_that_were_measured(fixtures, truths):
    """Writers of 2016 to 2025: events with a summary, values of each tag, first and last step."""
    found = [item for item in truths if item["kind"] == "tensorboard"]
    for item in found:
        path, truth = fixtures / item["file"], item["truth"]
        reading = tensorboard.read(path, 0, ())
        points = [row for rows in values(reading) for row in rows]
        tags = {row[0] for row in points}
        numbers = sum(row[2] is not None for row in points)
        kinds = truth["value_kinds"]

        assert reading.rejects == ()
        assert reading.end == item["bytes"]
        assert len(points) == sum(kinds.values())
        assert sum(part.facts.rows for part in reading.parts) == truth["what"]["summary"]
        assert len(tags) == truth["n_tags"]
        assert tags >= set(truth["tags"])
        texts = kinds.get("image", 0) + kinds.get("histo", 0) + ("keras" in tags)
        assert numbers == len(points) - texts
        for tag, steps in truth["steps"].items():
            at = [row[1] for row in points if row[0] == tag]
            assert (len(at), at[0], at[-1]) == (steps["n"], steps["first"], steps["last"])
        claims = [s.kind for s in ALL if s.recognises(path, path.read_bytes()[: 64 * 1024])]
        assert claims == ["tensorboard"]
    assert len(found) == 10


def test_files_of_one_folder_are_one_run_wherever_it_is_copied(tmp_path):
    """Another folder of the same name is another run, whole seconds or not."""
    early, late = b"".join(log([0, 1])), b"".join(log([2], 1e9 + 60.25))
    second = NAME.replace("1000000000", "1000000060")
    ids = {}
    for place in ("a/calm/train", "b/calm/train"):
        first = read(tmp_path / place, early).parts[0].facts
        again = read(tmp_path / place, late, second).parts[0].facts
        ids[place] = first.run_id
        assert first.run_id == again.run_id
        assert first.segment_id < again.segment_id
        assert first.name == "calm/train"
        assert not first.id_known
    whole = read(tmp_path / "a/wild/train", ef.version(1e9)).parts[0].facts
    twin = read(tmp_path / "a/odd/train", ef.version(1e9)).parts[0].facts

    assert len(set(ids.values())) == 1
    assert len({whole.run_id, twin.run_id, *ids.values()}) == 3


def test_files_of_one_process_are_one_segment_and_a_process_counts_anew(tmp_path):
    """host.process.counter in the name; the same numbers again are a container begun anew."""
    names = ["1000000000.h.7.0", "1000000001.h.7.2", "1000000009.h.8.0", "1000000010.h.8.0"]
    for at, name in enumerate(names):
        read(tmp_path / "x", b"".join(log([at], 1e9 + at + 0.5)), f"events.out.tfevents.{name}")
    read(tmp_path / "x", b"", "events.out.tfevents.1000000011.h.9.0.profile-empty")
    paths = [tmp_path / "x" / f"events.out.tfevents.{name}" for name in names]
    segments = [tensorboard.read(path, 0, ()).parts[0].facts.segment_id for path in paths]

    assert segments[0] == segments[1]
    assert len(set(segments)) == 3


def test_a_session_start_begins_a_segment_from_its_step_on(tmp_path):
    """Restarted at step 3 after step 5: two parts of one run, the second says where it began."""
    data = [*log(range(6)), ef.session(1e9 + 20, 3), ef.scalar(1e9 + 21, 3, "loss", 9.0)]
    first, second = (part.facts for part in read(tmp_path / "x", b"".join(data)).parts)

    assert (first.last_step, first.resume_step, second.resume_step) == (5, None, 3)
    assert (first.run_id, second.resumed) == (second.run_id, True)
    assert first.segment_id < second.segment_id


def test_a_session_start_before_the_first_row_begins_no_second_segment(tmp_path):
    data = [ef.version(), ef.session(1e9, 0), ef.scalar(1e9, 1, "loss", 9.0), ef.session(1e9, 1, 3)]
    (part,) = read(tmp_path / "x", b"".join(data)).parts

    assert (part.facts.rows, part.facts.resume_step, part.facts.resumed) == (1, None, False)


def test_values_of_every_kind_are_numbers_or_typed_text(tmp_path):
    """Scalars as TensorFlow 1, 2 and torch write them; nothing that was logged is lost."""
    half, one = struct.pack("<d", 0.5), b"\x09" + struct.pack("<d", 2.0)
    packed = struct.pack("<3d", 1, 2, 9), struct.pack("<3d", 0, 4, 0)
    histogram = one + b"\x11" + struct.pack("<d", 5.0) + b"\x19" + struct.pack("<d", 4.0)
    image = whole = ef.whole(1, 28) + ef.whole(2, 20) + ef.field(4, b"\x89PNG!")
    rows = [
        ("content", ef.tensor(2, [], ef.field(4, half)), None),
        ("floats", ef.tensor(1, [], ef.field(5, struct.pack("<f", 1.5))), b"scalars"),
        ("whole", ef.tensor(9, [], ef.field(10, ef.varint(-7))), None),
        ("many", ef.tensor(3, [2], ef.field(7, ef.varint(-1) + ef.varint(300))), b"mine"),
        ("text", ef.tensor(7, [1], ef.field(8, "ä".encode())), b"text"),
        ("bytes", ef.tensor(7, [1], ef.field(8, b"\xff\xfe")), None),
        ("histo", ef.field(5, histogram + ef.field(6, packed[0]) + ef.field(7, packed[1])), None),
        ("image", ef.field(4, image), None),
        ("images", ef.tensor(7, [3], b"".join(ef.field(8, i) for i in (b"20", b"28", whole))),
         b"images"),
    ]  # fmt: skip
    made = [ef.value(tag, body, plugin) for tag, body, plugin in rows]
    data = ef.version() + ef.summary(1e9, 4, *made) + ef.scalar(1e9, 5, "nan", math.nan)
    found = {
        row[0]: row[2] if row[3] is None else row[3] for row in values(read(tmp_path, data))[0]
    }
    typed = {key: json.loads(v) for key, v in found.items() if str(v).startswith("{")}

    assert (found["content"], found["floats"], found["whole"]) == (0.5, 1.5, -7.0)
    assert math.isnan(found["nan"])
    assert found["text"] == "ä"
    assert typed["many"]["values"] == [-1, 300]
    assert (typed["histo"]["bins"], typed["histo"]["values"]) == ([2, 1, 2, 5], [0, 4, 0])
    assert typed["image"] == {"_type": "image", "bytes": 5, "height": 28, "width": 20}
    assert typed["images"]["count"] == 1
    assert typed["bytes"] == {"_type": "bytes", "bytes": 2, "count": 1}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=5))
def test_a_growing_file_is_read_on_as_if_it_had_been_read_at_once(tmp_path_factory, ends):
    """Portions that end anywhere, across a restart: the same points, facts and end; no reject."""
    whole = b"".join(
        [
            *log(range(20)),
            ef.session(1e9 + 20.5, 5),
            *log(range(5, 9))[1:],
            *[ef.session(2e9, 7)] * 2,
        ]
    )
    path = tmp_path_factory.mktemp("live") / NAME
    known, at, frames = (), 0, []
    for end in [*sorted(min(end, len(whole)) for end in ends), len(whole)]:
        path.write_bytes(whole[:end])
        reading = tensorboard.read(path, at, known)
        known, at = tuple(part.facts for part in reading.parts), reading.end
        frames += [row for rows in values(reading) for row in rows]
    path.write_bytes(whole)
    expected = tensorboard.read(path, 0, ())

    assert frames == [row for rows in values(expected) for row in rows]
    assert known == tuple(part.facts for part in expected.parts)
    assert (at, reading.rejects) == (len(whole), ())


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_flipped_or_cut_byte_costs_its_record_alone(tmp_path_factory, data):
    """Damage anywhere is quarantined with its place, and what follows is read."""
    records = log(range(30))
    whole = b"".join(records)
    at = data.draw(st.integers(len(records[0]), len(whole) - 1))
    if data.draw(st.booleans()):
        broken, lost = whole[:at], None
    else:
        broken = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
        lost = next(i for i in range(30) if sum(map(len, records[: i + 2])) > at)
    reading = read(tmp_path_factory.mktemp("bad"), broken)
    steps = [row[1] for row in values(reading)[0]]
    kept = [i for i in range(30) if sum(map(len, records[: i + 2])) <= at]

    assert steps == (kept if lost is None else [i for i in range(30) if i != lost])
    clean_cut = lost is None and at == sum(map(len, records[: len(kept) + 1]))
    assert len(reading.rejects) == (0 if clean_cut else 1)
    assert all(broken[r.at_byte :].startswith(r.raw) for r in reading.rejects)


def test_the_real_writer_s_file_gives_what_was_logged(tmp_path):
    """tensorboardX: scalars, text, a histogram, and hyperparameters of the same run."""
    writer_class = pytest.importorskip("tensorboardX").SummaryWriter
    logged = {(f"train/{key}", step): (step + 1) / 7 for key in "ab" for step in range(50)}
    with writer_class(str(tmp_path / "calm")) as writer:
        for (key, step), number in logged.items():
            writer.add_scalar(key, number, step)
        writer.add_text("note", "hello", 3)
        writer.add_histogram("h", np.arange(100.0), 3)
        writer.add_hparams({"lr": 0.1, "kind": "adam", "deep": True}, {"acc": 0.5})
    parts = [
        tensorboard.read(path, 0, ()).parts[0]
        for path in sorted((tmp_path / "calm").rglob("events.*"), key=lambda p: len(p.parts))
    ]
    found = parts[0].points
    numbers = {row[:2]: row[2] for row in found.select("key", "step", "value").rows() if row[2]}
    texts = dict(found.filter(found["text"].is_not_null()).select("key", "text").rows())

    assert numbers == pytest.approx(logged, rel=1e-7)
    assert texts["note/text_summary"] == "hello"
    assert sum(json.loads(texts["h"])["values"]) == 100
    assert parts[1].facts.config == {"lr": 0.1, "kind": "adam", "deep": 1.0}
    assert len({part.facts.run_id for part in parts}) == 1
    assert len({part.facts.segment_id for part in parts}) == 1


def test_a_file_without_an_event_is_noted_and_junk_of_that_name_is_quarantined(tmp_path):
    empty, junk = read(tmp_path / "a", b""), read(tmp_path / "b", b"no events here, none at all")

    assert (empty.parts, empty.rejects, len(empty.notes)) == ((), (), 1)
    assert (junk.parts, len(junk.rejects)) == ((), 1)
    assert not tensorboard.recognises(tmp_path / f"{NAME}.gz", b"\x1f\x8b")
    assert tensorboard.recognises(tmp_path / "renamed.bin", ef.version())
