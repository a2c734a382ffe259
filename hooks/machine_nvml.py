"""NVIDIA's management library (``pip install nvidia-ml-py``) -> numbers of every GPU of the node.

Under W&B's names where it has one, with its units; nothing here waits for a kernel on the GPU.
What a GPU does not support, as ECC on a consumer card, is absent and not asked for again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hooks.capture import say

DRIVER = Path("/proc/driver/nvidia/version")
# Bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h): why the clocks are below what was asked
# for. Not among them: that the GPU is idle, or that a person set its clocks.
THROTTLES = {
    "swPowerCap": 0x04,
    "hwSlowdown": 0x08,
    "syncBoost": 0x10,
    "swThermalSlowdown": 0x20,
    "hwThermalSlowdown": 0x40,
    "hwPowerBrakeSlowdown": 0x80,
}
# invalid argument, not supported, no permission, function not found in this driver
_ABSENT = (2, 3, 4, 13)

_Read = Callable[[Any, Any], dict[str, float]]


def open_all() -> list[Gpu]:
    """Return the node's GPUs; none where there is no driver or no nvidia-ml-py."""
    try:
        import pynvml  # noqa: PLC0415  an extra
    except ImportError:
        if DRIVER.exists():
            say("GPUs are not measured. fix: pip install nvidia-ml-py")
        return []
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as problem:
        if DRIVER.exists():
            say(f"GPUs are not measured: {problem}")
        return []
    return [Gpu(pynvml, index) for index in range(count)]


class Gpu:
    """One GPU, by its number in ``nvidia-smi``, whatever CUDA_VISIBLE_DEVICES says."""

    def __init__(self, nvml: Any, index: int) -> None:
        self.index = index
        self._nvml = nvml
        self._handle: Any = None
        self._reads: list[_Read] = list(_READS)

    def read(self) -> dict[str, float]:
        """Return what the GPU tells of itself now.

        Raises:
            pynvml.NVMLError: it does not answer any more.
        """
        if self._handle is None:
            self._handle = self._nvml.nvmlDeviceGetHandleByIndex(self.index)
        found: dict[str, float] = {}
        for read in tuple(self._reads):
            try:
                found |= read(self._nvml, self._handle)
            except self._nvml.NVMLError as problem:
                if problem.value not in _ABSENT:
                    raise
                self._reads.remove(read)
        watts, limit = found.get("powerWatts"), found.get("enforcedPowerLimitWatts")
        if watts is not None and limit:
            found["powerPercent"] = 100 * watts / limit
        return {f"gpu.{self.index}.{name}": value for name, value in found.items()}


def _utilisation(nvml: Any, handle: Any) -> dict[str, float]:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    return {"gpu": rates.gpu, "memory": rates.memory}


def _memory(nvml: Any, handle: Any) -> dict[str, float]:
    """Return what nvidia-smi shows: version 2 leaves out what the driver keeps for itself."""
    try:
        has = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    except (TypeError, AttributeError, nvml.NVMLError):  # an old binding or an old driver
        has = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {
        "memoryAllocatedBytes": has.used,
        "memoryTotalBytes": has.total,
        "memoryAllocated": 100 * has.used / has.total,
    }


def _temperature(nvml: Any, handle: Any) -> dict[str, float]:
    return {"temp": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)}


def _power(nvml: Any, handle: Any) -> dict[str, float]:
    return {"powerWatts": nvml.nvmlDeviceGetPowerUsage(handle) / 1000}


def _power_limit(nvml: Any, handle: Any) -> dict[str, float]:
    return {"enforcedPowerLimitWatts": nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000}


def _sm_clock(nvml: Any, handle: Any) -> dict[str, float]:
    return {"smClock": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)}


def _memory_clock(nvml: Any, handle: Any) -> dict[str, float]:
    return {"memoryClock": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)}


def _ecc(nvml: Any, handle: Any) -> dict[str, float]:
    """Return the errors in the GPU's memory over its life, as W&B counts them."""
    where = (nvml.NVML_AGGREGATE_ECC, nvml.NVML_MEMORY_LOCATION_DEVICE_MEMORY)
    kinds = {
        "correctedMemoryErrors": nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
        "uncorrectedMemoryErrors": nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
    }
    return {
        name: nvml.nvmlDeviceGetMemoryErrorCounter(handle, kind, *where)
        for name, kind in kinds.items()
    }


def _throttles(nvml: Any, handle: Any) -> dict[str, float]:
    ask = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
    ask = ask or nvml.nvmlDeviceGetCurrentClocksThrottleReasons  # its name before 2023
    bits = ask(handle)
    return {f"throttle.{name}": int(bool(bits & bit)) for name, bit in THROTTLES.items()}


_READS: tuple[_Read, ...] = (
    _utilisation,
    _memory,
    _temperature,
    _power,
    _power_limit,
    _sm_clock,
    _memory_clock,
    _ecc,
    _throttles,
)
