"""GPU numbers against nvidia-smi; skipped where there is no NVIDIA GPU.

``pip install nvidia-ml-py``, and torch for the allocator; then ``pytest tests/hooks/test_gpu.py``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import hooks
from hooks import machine_nvml, machine_torch

MIB = 1024**2
# our name -> nvidia-smi's, and by how much the two may differ between one reading and the next
ASKED = {
    "memoryTotalBytes": ("memory.total", 1, MIB),
    "memoryAllocatedBytes": ("memory.used", 64, MIB),
    "gpu": ("utilization.gpu", 101, 1),
    "memory": ("utilization.memory", 101, 1),
    "temp": ("temperature.gpu", 5, 1),
    "powerWatts": ("power.draw", 100, 1),
    "enforcedPowerLimitWatts": ("enforced.power.limit", 0.1, 1),
    "smClock": ("clocks.sm", 2000, 1),
    "memoryClock": ("clocks.mem", 2000, 1),
    "uncorrectedMemoryErrors": ("ecc.errors.uncorrected.aggregate.dram", 0, 1),
    "correctedMemoryErrors": ("ecc.errors.corrected.aggregate.dram", 0, 1),
}


@pytest.fixture
def gpus():
    if shutil.which("nvidia-smi") is None:
        pytest.skip("no NVIDIA GPU here: no nvidia-smi")
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    found = machine_nvml.open_all()
    if not found:
        pytest.skip("no NVIDIA GPU here: its driver names none")
    return found


@pytest.fixture
def cuda():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch


def smi(index):
    """What nvidia-smi says of one GPU, numbers as numbers, the rest left out."""
    names = [name for name, _, _ in ASKED.values()]
    query = ["nvidia-smi", f"--id={index}", f"--query-gpu={','.join(names)}"]
    done = subprocess.run(
        [*query, "--format=csv,noheader,nounits"], capture_output=True, text=True, check=True
    )
    found = {}
    for name, text in zip(names, done.stdout.strip().split(","), strict=True):
        try:
            found[name] = float(text)
        except ValueError:  # [N/A]
            continue
    return found


def test_the_numbers_are_those_of_nvidia_smi(gpus):
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True)
    assert len(gpus) == sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    for gpu in gpus:
        ours, theirs = gpu.read(), smi(gpu.index)
        for name, (their_name, tolerance, unit) in ASKED.items():
            key = f"gpu.{gpu.index}.{name}"
            assert (key in ours) == (their_name in theirs), name
            if key in ours:
                assert abs(ours[key] / unit - theirs[their_name]) <= tolerance, name


def test_a_gpu_that_works_hard_is_seen_to_do_so(gpus, cuda):
    matrix = cuda.randn(8192, 8192, device="cuda:0", dtype=cuda.bfloat16)
    held = {}
    end = time.monotonic() + 3
    while time.monotonic() < end:
        for _ in range(50):
            matrix @ matrix
        cuda.cuda.synchronize()
    for _ in range(200):
        matrix @ matrix
    for gpu in gpus:
        held |= gpu.read()
    cuda.cuda.synchronize()

    assert max(v for k, v in held.items() if k.endswith(".gpu")) > 50
    assert max(v for k, v in held.items() if k.endswith(".memoryAllocatedBytes")) > 128 * MIB


def test_peaks_of_an_interval_leave_the_scripts_own_peak_alone(cuda):
    """The script prints ``torch.cuda.max_memory_allocated()`` as the peak of the whole run."""
    from torch.cuda import max_memory_allocated

    cuda.cuda.init()
    cuda.zeros(1, device="cuda:0")
    machine_torch.read()
    big = cuda.empty(512 * MIB, dtype=cuda.uint8, device="cuda:0")
    del big
    during = machine_torch.read()["torch.0.allocatedPeakBytes"]
    after = machine_torch.read()["torch.0.allocatedPeakBytes"]

    assert during >= 512 * MIB
    assert after < 64 * MIB
    assert max_memory_allocated() >= 512 * MIB
    assert cuda.cuda.memory_stats()["allocated_bytes.all.peak"] >= 512 * MIB
    cuda.cuda.reset_peak_memory_stats()
    assert max_memory_allocated() < 64 * MIB


def test_the_log_of_a_run_has_the_gpus_and_the_allocator(gpus, cuda, tmp_path):
    run = hooks.init("p", dir=tmp_path, wandb=False, telemetry=0.2)
    held = cuda.zeros(256 * MIB, dtype=cuda.uint8, device="cuda:0")
    time.sleep(3)
    run.finish()
    lines = [json.loads(line) for line in Path(run.path).read_text().splitlines()]
    last = [line for line in lines if line.get("_kind") == "telemetry"][-1]

    assert held.numel() == 256 * MIB
    assert last["system.torch.0.allocatedBytes"] >= 256 * MIB
    assert last["system.gpu.0.memoryTotalBytes"] > 1024 * MIB
    assert {f"system.gpu.0.throttle.{name}" for name in machine_nvml.THROTTLES} <= set(last)
    assert lines[-1]["dropped"] == 0
