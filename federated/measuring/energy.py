"""Energy of a workload, each figure with the method that it comes from.

``rapl``: the processor packages' own counters (Linux powercap), the whole machine's use while the
workload ran. ``nvml``: the NVIDIA GPUs' counters. ``estimate``: CPU seconds times watts a core that
a person gave; a guess, which never stands beside a measurement. ``none``: nothing is known.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path

from federated.errors import InvalidInput

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"


class Method(StrEnum):
    RAPL = "rapl"
    NVML = "nvml"
    ESTIMATE = "estimate"
    NONE = "none"

    @property
    def measured(self) -> bool:
        return self in (Method.RAPL, Method.NVML)


class EnergyMeter:
    """Joules between start() and stop(); ``cpu_seconds`` is what the workload used meanwhile."""

    method = Method.NONE

    def start(self) -> None:
        """Read the counters, where there are any."""

    def stop(self, cpu_seconds: float) -> float | None:
        """Joules since start(); None where nothing is known."""
        return None


class Estimate(EnergyMeter):
    method = Method.ESTIMATE

    def __init__(self, watts_per_core: float) -> None:
        if not 0 < watts_per_core <= 1000:
            raise InvalidInput(f"watts per core: {watts_per_core:g}; above 0 and at most 1000")
        self.watts_per_core = watts_per_core

    def stop(self, cpu_seconds: float) -> float | None:
        return cpu_seconds * self.watts_per_core


class Counters(EnergyMeter):
    """The sum of counters in joules, each with the value it starts again from zero at."""

    def __init__(
        self, method: Method, counters: dict[str, tuple[Callable[[], float], float]]
    ) -> None:
        self.method = method
        self._counters = counters
        self._before: dict[str, float] = {}

    def start(self) -> None:
        self._before = {name: read() for name, (read, _) in self._counters.items()}

    def stop(self, cpu_seconds: float) -> float | None:
        total = 0.0
        for name, (read, wraps_at) in self._counters.items():
            used = read() - self._before[name]
            total += used if used >= 0 else used + wraps_at
        return total


def meter_for(
    method: Method | None = None,
    *,
    watts_per_core: float | None = None,
    powercap: Path = POWERCAP,
    nvml: str = NVML,
) -> EnergyMeter:
    """The meter of ``method``; by default a counter that can be read, else the given estimate.

    Raises InvalidInput where the method asked for does not work on this machine.
    """
    if method is Method.NONE:
        return EnergyMeter()
    if method is Method.ESTIMATE or (method is None and watts_per_core is not None):
        if watts_per_core is None:
            raise InvalidInput("energy estimate: needs the watts that one busy core takes")
        return Estimate(watts_per_core)
    counters = {Method.RAPL: lambda: _rapl(powercap), Method.NVML: lambda: _nvml(nvml)}
    for kind in (Method.RAPL, Method.NVML) if method is None else (method,):
        found = counters[kind]()
        if found:
            return Counters(kind, found)
    if method is not None:
        where = f"readable counters under {powercap}" if method is Method.RAPL else f"GPU in {nvml}"
        raise InvalidInput(f"energy {method.value}: this machine has no {where}; allowed: none")
    return EnergyMeter()


def _rapl(powercap: Path) -> dict[str, tuple[Callable[[], float], float]]:
    """Package domains alone: their sub-domains are parts of them."""
    found = {}
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:
            continue
        try:
            wraps_at = int((zone / "max_energy_range_uj").read_text()) / 1e6
            read = _microjoules(zone / "energy_uj")
            read()
        except (OSError, ValueError):
            continue
        found[zone.name] = (read, wraps_at)
    return found


def _microjoules(path: Path) -> Callable[[], float]:
    return lambda: int(path.read_text()) / 1e6


def _nvml(library: str) -> dict[str, tuple[Callable[[], float], float]]:
    """One counter a GPU, through the driver's own library (NVML API reference).

    Nothing where one GPU has no counter (before Volta), for a sum would leave it out unsaid.
    """
    try:
        nvml = ctypes.CDLL(library)
        count = ctypes.c_uint()
        if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return {}
        found: dict[str, tuple[Callable[[], float], float]] = {}
        for index in range(count.value):
            handle = ctypes.c_void_p()
            if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
                return {}
            read = partial(_millijoules, nvml, handle, index)
            read()
            found[f"gpu{index}"] = (read, float("inf"))
    except (OSError, AttributeError):  # no driver, or one that lacks a function
        return {}
    return found


def _millijoules(nvml: ctypes.CDLL, handle: ctypes.c_void_p, index: int) -> float:
    total = ctypes.c_ulonglong()
    error = nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(total))
    if error:
        raise OSError(f"GPU {index}: NVML error {error}")
    return total.value / 1e3
