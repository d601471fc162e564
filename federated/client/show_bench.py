"""Measurements as tables for people."""

from __future__ import annotations

from rich.table import Table

from federated.client.measuring import Measurement


def measurement_table(found: Measurement) -> Table:
    """A measurement's figures with what they are of."""
    table = Table(title="Measured at this site", caption=_machine(found), caption_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_column("of")
    runs = f"{found.repeats} runs after {found.warmup}"
    table.add_row("latency p50", f"{found.latency_ms:,.2f} ms", runs)
    table.add_row("latency p95", f"{found.latency_p95_ms:,.2f} ms", "")
    table.add_row("latency p99", f"{found.latency_p99_ms:,.2f} ms", "")
    between = f"{found.latency_min_ms:,.2f} to {found.latency_max_ms:,.2f} ms"
    table.add_row("latency from, to", between, "")
    table.add_row("throughput", f"{found.throughput_ops:,.2f} ops/s", f"{found.items:,} a run")
    table.add_row("CPU", f"{found.cpu_s:,.3f} s", "a run, children too")
    memory = "too short a run" if found.memory_mb is None else f"{found.memory_mb:,.1f} MB"
    table.add_row("peak memory", memory, "the process tree, in a run of its own")
    energy = "not known" if found.energy_j is None else f"{found.energy_j:,.2f} J"
    table.add_row("energy", energy, f"a run, by {found.energy_method.value}")
    return table


def _machine(found: Measurement) -> str:
    facts = found.machine
    return (
        f"{facts['processor']}, {facts['cores']} cores, {float(facts['memory_mb']) / 1e3:.1f} GB, "
        f"{facts['system']}"
    )
