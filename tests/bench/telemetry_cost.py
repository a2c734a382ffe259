"""What measuring the machine costs: our thread in a minute, and one row against the original's.

The original's helper asked psutil how busy the CPU is and waited 0.1 s for the answer, in each row
of SFT and RL. ``python tests/bench/telemetry_cost.py [SECONDS]``
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0


def of_thread(place: str, seconds: float, interval: float | bool) -> tuple[float, int, int]:
    """Return (CPU seconds of our thread, samples, bytes) of a run of so many *seconds*."""
    import hooks

    run = hooks.init("bench", dir=place, wandb=False, telemetry=interval)
    clock = time.pthread_getcpuclockid(run._sampler.thread.ident)
    time.sleep(seconds)
    used = time.clock_gettime(clock)
    run.finish()
    data = Path(run.path).read_bytes()
    return used, data.count(b'"telemetry"'), len(data)


def of_rows(count: int) -> tuple[float, float]:
    """Return the wall seconds of one row's machine numbers: the original's way, and ours."""
    import psutil

    from hooks import nanochat

    began = time.perf_counter()
    for _ in range(count):
        psutil.cpu_percent(interval=0.1)
        psutil.virtual_memory()
    original = (time.perf_counter() - began) / count
    began = time.perf_counter()
    for _ in range(count):
        nanochat.log_system_metrics()
    return original, (time.perf_counter() - began) / count


def main() -> None:
    """Measure and print."""
    sys.path.insert(0, str(ROOT))
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    with tempfile.TemporaryDirectory() as place:
        used, samples, size = of_thread(place, seconds, interval=True)
        often, many, _ = of_thread(place, 10, interval=0.05)
    each = (often - used) / (many - samples)
    print(f"thread    {used:.3f} s of CPU in {seconds:.0f} s: {used / seconds:.3%} of a core")
    print(f"sample    {each * 1e3:.2f} ms of CPU; the log has {samples} in {size} bytes")
    original, ours = of_rows(20)
    print(f"row       {ours * 1e3:.3f} ms; the original's {original * 1e3:.1f} ms")
    print(f"ratio     {original / ours:.0f}")


if __name__ == "__main__":
    main()
