"""A workload's figures: latency, throughput, CPU, memory, energy, over runs after a warm-up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from federated.errors import InvalidInput
from federated.measuring.energy import EnergyMeter, Method, meter_for
from federated.measuring.machine import machine_facts
from federated.measuring.workload import Call, Command, Ran, Workload
from federated.wire.base import Message

REPEATS_MOST = 100_000
ITEMS_MOST = 10**12
Figure = Annotated[float, Field(strict=False, ge=0)]


class Measurement(Message):
    """What one workload took at this site; it stays here.

    Latencies are of single runs, in milliseconds, by linear interpolation between order
    statistics; ``throughput_ops`` is items of all runs over their time; ``cpu_s`` and ``energy_j``
    are the mean of a run; ``memory_mb`` is the process tree's peak in a run of its own.
    """

    TAG = "measurement"

    workload: str
    measured_at: str
    warmup: int
    repeats: int
    items: int
    latency_ms: Figure
    latency_p95_ms: Figure
    latency_p99_ms: Figure
    latency_min_ms: Figure
    latency_max_ms: Figure
    throughput_ops: Figure
    cpu_s: Figure
    memory_mb: Figure | None
    energy_j: Figure | None
    energy_method: Method
    machine: dict[str, str | int | float]
    notes: tuple[str, ...]

    def values(self) -> dict[str, float]:
        """By metric name, as campaigns ask for them.

        Energy that was estimated has a metric of its own, ``energy_estimate_j``: it is never
        compared with a measurement.
        """
        found = {
            name: getattr(self, name)
            for name in (
                *("latency_ms", "latency_p95_ms", "latency_p99_ms"),
                *("throughput_ops", "cpu_s"),
            )
        }
        if self.memory_mb is not None:
            found["memory_mb"] = self.memory_mb
        if self.energy_j is not None:
            key = "energy_j" if self.energy_method.measured else "energy_estimate_j"
            found[key] = self.energy_j
        return found


def measure_command(
    arguments: Sequence[str],
    *,
    repeats: int = 20,
    warmup: int = 2,
    items: int = 1,
    timeout: float | None = None,
    energy: EnergyMeter | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Measurement:
    """Measure a command: its process, from its start to its end, and its children.

    Raises WorkloadFailed at the first run that cannot start, ends with an error or is late, and
    InvalidInput for a number of runs or items that is none.
    """
    return _measure(
        Command(arguments, timeout=timeout),
        name=" ".join(arguments),
        repeats=repeats,
        warmup=warmup,
        items=items,
        energy=energy,
        progress=progress,
    )


def measure(
    function: Callable[[], Any],
    *,
    name: str | None = None,
    repeats: int = 20,
    warmup: int = 2,
    items: int = 1,
    energy: EnergyMeter | None = None,
) -> Measurement:
    """Measure a Python callable in this process; what it raises is raised as it is.

    Its memory is this whole process's, with all that was loaded before.
    """
    return _measure(
        Call(function),
        name=name or str(getattr(function, "__qualname__", type(function).__name__)),
        repeats=repeats,
        warmup=warmup,
        items=items,
        energy=energy,
        progress=lambda done, of: None,
    )


def _measure(
    workload: Workload,
    *,
    name: str,
    repeats: int,
    warmup: int,
    items: int,
    energy: EnergyMeter | None,
    progress: Callable[[int, int], None],
) -> Measurement:
    for label, value, least in (
        ("repeats", repeats, 1),
        ("warmup", warmup, 0),
        ("items", items, 1),
    ):
        if not least <= value <= (REPEATS_MOST if label != "items" else 10**12):
            raise InvalidInput(f"{label}: {value}; at least {least}, at most {REPEATS_MOST}")
    meter = energy if energy is not None else meter_for()
    facts = machine_facts()
    total = warmup + repeats + 1
    for done in range(warmup):
        workload.run()
        progress(done + 1, total)
    runs: list[Ran] = []
    joules: list[float | None] = []
    for done in range(repeats):
        meter.start()
        runs.append(workload.run())
        joules.append(meter.stop(runs[-1].cpu_seconds))
        progress(warmup + done + 1, total)
    memory = workload.peak_memory()
    progress(total, total)
    known = [value for value in joules if value is not None]
    latencies = np.array([run.seconds for run in runs]) * 1e3
    p50, p95, p99 = (float(value) for value in np.percentile(latencies, (50, 95, 99)))
    return Measurement(
        workload=name,
        measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        warmup=warmup,
        repeats=repeats,
        items=items,
        latency_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        latency_min_ms=float(latencies.min()),
        latency_max_ms=float(latencies.max()),
        throughput_ops=items * repeats / sum(run.seconds for run in runs),
        cpu_s=sum(run.cpu_seconds for run in runs) / repeats,
        memory_mb=memory,
        energy_j=sum(known) / repeats if len(known) == repeats else None,
        energy_method=meter.method,
        machine=facts,
        notes=_notes(repeats, warmup, facts, meter.method),
    )


def _notes(
    repeats: int, warmup: int, facts: dict[str, str | int | float], method: Method
) -> tuple[str, ...]:
    """What a reader should know before believing the figures."""
    notes = []
    if repeats < 20:
        notes.append(f"p95 of {repeats} runs lies between the two slowest; 20 and more tell it")
    if repeats < 100:
        notes.append(f"p99 of {repeats} runs is next to their maximum; 100 and more tell it")
    if warmup == 0:
        notes.append("no warm-up: the first run reads files and fills caches for the others")
    if float(facts["load_before"]) > float(facts["cores"]) / 2:
        notes.append(
            f"the machine was busy (load {facts['load_before']} on {facts['cores']} cores)"
        )
    if method is Method.ESTIMATE:
        notes.append("energy is an estimate; it is not compared with measured energy")
    if method in (Method.RAPL, Method.NVML):
        notes.append(f"energy by {method.value} is the whole machine's while the workload ran")
    return tuple(notes)
