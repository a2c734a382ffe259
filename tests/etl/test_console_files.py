"""Which files are nanochat's console logs, and what the real ones hold."""

from __future__ import annotations

import console_logs as logs
import pytest

from etl import sources
from etl.sources import nanochat_console
from etl.sources.reading import HEAD_BYTES


def by_script(reading):
    return {part.facts.script: part for part in reading.parts}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("base_train.py", 'print0(f"step {step:05d}/{n:05d} | loss: {loss:.6f} | lrm: {lrm}")'),
        ("train.txt", "step 10 | loss 3.2 | lr 0.1\nEpoch 3: accuracy: 0.9"),
        ("README.md", "step 00010/05000 (0.20%) | loss: 3.2 | lrm: 1.00 | dt: 1.00ms"),
        ("a.log", "s:0 tel:10.968871\ns:0 trl:10.965596\n"),
        ("curve.log", "model model_tag=d12 base_train.val_bpb=0.8\n"),
        ("empty.log", ""),
        ("junk.log", "\x00\xff\x1b[" * 1000),
    ],
)
def test_what_is_no_such_log_is_not_claimed(tmp_path, name, content):
    """Source code, documents that quote a log and other programs' logs are others' to read."""
    head = content.encode("latin-1")

    assert not nanochat_console.recognises(tmp_path / name, head)


def test_a_log_is_known_behind_any_chatter(tmp_path):
    """A download's progress may fill all of the head; the end of the file tells."""
    path = tmp_path / "out.log"
    path.write_bytes(b"Downloading\n" * 8000 + logs.text(logs.speedrun()))

    assert nanochat_console.recognises(path, path.read_bytes()[:HEAD_BYTES])


def test_real_logs_hold_what_was_measured_of_them(fixtures, truths):
    """Every step, validation, CORE value and task of the real logs is there."""
    for truth in truths:
        if truth["file"].endswith(".log"):
            path = fixtures / truth["file"]
            claimed = nanochat_console.recognises(path, path.read_bytes()[:HEAD_BYTES])

            assert claimed == (truth["kind"] == "nanochat")

    counts = {
        truth["file"].rsplit("/", 1)[-1]: truth["truth"] for truth in truths if "truth" in truth
    }
    speedrun, sft = (
        nanochat_console.read(fixtures / "nanochat" / name, 0, ())
        for name in ("jhinpan+nanochat/speedrun.log", "karpathy+nanochat/sft_run.log")
    )
    base = by_script(speedrun)["base_train"]
    keys = base.facts.keys

    assert keys["train/loss"] == counts["speedrun.log"]["base"]["count"]
    assert keys["val/bpb"] == counts["speedrun.log"]["val"]["count"]
    assert keys["core_metric"] == counts["speedrun.log"]["core"]["count"]
    assert keys["base_eval/val_bpb"] == keys["base_eval/core_metric"] == 1
    tasks = sum(count for key, count in keys.items() if key.startswith("results."))
    tasks += sum(count for key, count in keys.items() if key.endswith("/accuracy"))
    assert tasks == counts["speedrun.log"]["taskacc"]["count"] + 22  # its table
    assert sorted(by_script(speedrun)) == ["base_train", "chat_sft", "mid_train", "tok_train"]
    assert (base.facts.run_id, base.facts.last_step) == ("z9s7cd4f", 21400)
    assert (
        by_script(sft)["chat_sft"].facts.keys["train/loss"]
        == counts["sft_run.log"]["sft2"]["count"]
    )
    assert speedrun.rejects == sft.rejects == ()


def test_each_log_has_one_reader(tmp_path):
    """No other source claims such a log before this one is asked."""
    path = tmp_path / "speedrun.log"
    path.write_bytes(logs.text(logs.speedrun()))
    claims = [s.kind for s in sources.ALL if s.recognises(path, path.read_bytes()[:HEAD_BYTES])]

    assert claims == ["nanochat-console"]
