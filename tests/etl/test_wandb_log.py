"""The log format of ``.wandb`` files: slices of any size, damage, files that grow."""

from __future__ import annotations

import polars as pl
import wandb_files
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.sources import wandb_log, wandb_offline

BLOCK = wandb_files.BLOCK


def walked(path, start=7, blocks=512):
    """Every record of a file with its place, where it ended, and what was rejected."""
    with path.open("rb") as file:
        walk = wandb_log.Walk(file, start, slice_bytes=blocks * BLOCK)
        records = [
            (int(batch.places[index]), batch.record(index))
            for batch in walk.batches()
            for index in range(len(batch.starts))
        ]
    return records, walk.end, walk.rejects


sizes = st.lists(
    st.one_of(st.integers(1, 300), st.integers(BLOCK - 20, BLOCK + 20), st.just(3 * BLOCK)),
    min_size=1,
    max_size=40,
)


@settings(max_examples=50, deadline=None)
@given(sizes, st.integers(1, 5))
def test_every_record_is_read_whatever_its_size_and_that_of_the_slices(
    tmp_path_factory, sizes, blocks
):
    path = tmp_path_factory.mktemp("log") / "run-r1.wandb"
    records = [bytes([number % 251 + 1]) * size for number, size in enumerate(sizes)]
    data, ends = wandb_files.pack(records)
    path.write_bytes(data)
    found, end, rejects = walked(path, blocks=blocks)

    assert [data for _, data in found] == records
    assert end == ends[-1] == len(data)
    assert rejects == []


@settings(max_examples=60, deadline=None)
@given(sizes, st.data())
def test_damage_is_the_same_in_slices_of_any_size(tmp_path_factory, sizes, data):
    """One slice is walked chunk by chunk as soon as anything in it is odd, small ones are not."""
    path = tmp_path_factory.mktemp("log") / "run-r1.wandb"
    records = [bytes([number % 251 + 1]) * size for number, size in enumerate(sizes)]
    whole = bytearray(wandb_files.pack(records)[0])
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(7, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(7, len(whole)))
    path.write_bytes(bytes(whole[:cut]))

    assert walked(path, blocks=1) == walked(path) == walked(path, blocks=3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.data())
def test_a_growing_file_is_read_on_as_if_it_had_been_read_at_once(tmp_path_factory, reads, data):
    """Portions that end anywhere give the points, measurements and lines of one read."""
    path = tmp_path_factory.mktemp("live") / "run-r1.wandb"
    records = [wandb_files.run(), wandb_files.metric("loss", "train/global_step")]
    for step in range(150):
        row = {"loss": 3 - step / 100, "global_step": step * 2, "text": "x" * 300, "_step": step}
        row["train/global_step"] = step // 3  # the x axis, so the step
        records.append(wandb_files.history(row if step > 10 else {"early": step, "_step": step}))
        records.append(wandb_files.stats({"cpu": step, "gpu.0.gpu": 50.5}, 1_800_000_000 + step))
        records.append(wandb_files.output(f"\r{step}%|" + "#" * (step % 7), step))
        records.append(wandb_files.summary({"loss": step, f"k{step % 5}": "v"}))
        records.append(wandb_files.output("line\nnext" if step % 9 == 0 else "", step, 0))
    whole, _ = wandb_files.pack([*records, wandb_files.exit_record()])
    ends = sorted(data.draw(st.integers(0, len(whole))) for _ in range(reads))
    known, at, portions = (), 0, []
    for end in [*ends, len(whole)]:
        path.write_bytes(whole[:end])
        reading = wandb_offline.read(path, at, known)
        if reading.parts:
            known, at = tuple(part.facts for part in reading.parts), reading.end
        portions += reading.parts
    (expected,) = wandb_offline.read(path, 0, ()).parts

    assert portions[-1].facts == expected.facts
    assert expected.facts.roles["train/global_step"] == "step"
    assert reading.rejects == ()
    for name, by in (("points", "key"), ("telemetry", "key"), ("console", "line")):
        frames = [getattr(part, name) for part in portions if getattr(part, name) is not None]
        together = pl.concat(frames).sort(by, maintain_order=True)
        assert together.equals(getattr(expected, name).sort(by, maintain_order=True))
