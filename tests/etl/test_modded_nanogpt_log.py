"""modded-nanogpt's record logs: points behind pages of source code."""

from __future__ import annotations

import pytest

from etl.sources import modded_nanogpt_log
from etl.sources.reading import HEAD_BYTES

_NEW = (
    'print0(f"step:{step}/{n} val_loss:{val_loss:.4f}")\n' * 2000
    + "=" * 100
    + "\nRunning Python 3.12.7 (main)\nRunning PyTorch 2.9.0 compiled for CUDA 12.6\n"
    + "=" * 100
    + "\nstep:0/2 val_loss:10.8258 train_time:0ms step_avg:0.02ms"
    + "\nstep:1/2 train_time:143ms step_avg:143.06ms"
    + "\nstep:2/2 val_loss:3.2789 train_time:287ms step_avg:143.50ms"
    + "\npeak memory allocated: 30760 MiB reserved: 45574 MiB\n"
)
_OLD = "s:0 tel:10.968871\ns:0 trl:10.965596\ns:1 trl:10.814037\ns:2 tel:6.034447\n"


def read(folder, content, name="record.txt"):
    path = folder / name
    path.write_text(content)
    (part,) = (reading := modded_nanogpt_log.read(path, 0, ())).parts

    assert modded_nanogpt_log.recognises(path, path.read_bytes()[:HEAD_BYTES])

    return part, reading.rejects


def test_points_come_from_behind_the_source_code(tmp_path):
    """The code is neither points nor console; what follows is, in seconds and nats."""
    part, rejects = read(tmp_path, _NEW)
    rows = part.points.select("key", "step", "value").rows()

    assert ("val/loss", 2, 3.2789) in rows
    assert ("total_training_time", 1, 0.143) in rows
    assert ("train/dt_mean", 1, 0.14306) in rows
    assert part.facts.versions == {"python": "3.12.7", "pytorch": "2.9.0"}
    assert part.facts.effective == {"num_iterations": 2}
    assert part.facts.summary == {"peak_memory_mib": 30760}
    assert part.facts.finished
    assert part.console["text"][0].startswith("Running Python")
    assert rejects == ()


def test_the_older_form_is_read(tmp_path):
    """Its tel is the loss on held-out text, trl that of training; it tells no end."""
    part, _ = read(tmp_path, _OLD, "main.log")
    rows = part.points.select("key", "step", "value").rows()

    assert ("val/loss", 2, 6.034447) in rows
    assert ("train/loss", 1, 10.814037) in rows
    assert not part.facts.tells_end


@pytest.mark.parametrize("content", [_NEW[_NEW.index("step:0/2") :], _OLD])
def test_a_cut_at_any_byte_costs_the_line_cut_and_changes_no_value(tmp_path, content):
    """A number that lost digits is no number; the run keeps its id while its log grows."""
    whole, _ = read(tmp_path, content)
    rows = set(whole.points.iter_rows())
    for cut in range(content.index("\n") + 1, len(content)):
        part, rejects = read(tmp_path, content[:cut])

        assert set(part.points.iter_rows()) <= rows
        assert part.points.height >= content[:cut].count("\n") - 1
        assert len(rejects) <= 1
        assert part.facts.run_id == whole.facts.run_id


def test_real_records_hold_what_was_measured_of_them(fixtures, truths):
    """Every step of the real record logs is there."""
    seen = 0
    for truth in truths:
        if "modded-nanogpt" in truth["file"]:
            path = fixtures / truth["file"]
            (part,) = modded_nanogpt_log.read(path, 0, ()).parts
            lines = next(v for k, v in truth["truth"].items() if k.startswith("^"))
            seen += 1

            assert part.facts.last_step == lines["steps"]["last"]
            assert (part.facts.run_id, part.facts.id_known) == (path.stem, True)
            if path.suffix == ".log":
                assert part.points.height == lines["count"]
            else:
                assert part.facts.keys["total_training_time"] == lines["count"]
                assert part.facts.keys["val/loss"] == 15

    assert seen == 2


@pytest.mark.parametrize("name", ["train.py", "notes.md", "a.log"])
def test_other_files_are_not_claimed(tmp_path, name):
    """Neither the code that prints such lines, nor a text about them, nor another's log."""
    content = _NEW[:HEAD_BYTES] if name != "a.log" else "step 3/10 loss 3\ns: hello\n"

    assert not modded_nanogpt_log.recognises(tmp_path / name, content.encode())
