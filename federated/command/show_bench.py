"""Shows measurements as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from federated.measuring import Measurement
from federated.sdk.campaign import Preview
from federated.site.standing import Standing
from federated.wire.campaign import Estimate


def measurement_table(given: Measurement) -> Table:
    """A measurement's figures with what they are of."""
    table = Table(title="Measured at this site", caption=_machine(given), caption_justify="left")
    table.add_column("what")
    table.add_column("figure", justify="right")
    table.add_column("of")
    runs = f"{given.repeats} runs after {given.warmup}"
    table.add_row("latency p50", f"{given.latency_ms:,.2f} ms", runs)
    table.add_row("latency p95", f"{given.latency_p95_ms:,.2f} ms", "")
    table.add_row("latency p99", f"{given.latency_p99_ms:,.2f} ms", "")
    between = f"{given.latency_min_ms:,.2f} to {given.latency_max_ms:,.2f} ms"
    table.add_row("latency from, to", between, "")
    table.add_row("throughput", f"{given.throughput_ops:,.2f} ops/s", f"{given.items:,} a run")
    table.add_row("CPU", f"{given.cpu_s:,.3f} s", "a run, children too")
    memory = "too short a run" if given.memory_mb is None else f"{given.memory_mb:,.1f} MB"
    table.add_row("peak memory", memory, "the process tree, in a run of its own")
    energy = "not known" if given.energy_j is None else f"{given.energy_j:,.2f} J"
    table.add_row("energy", energy, f"a run, by {given.energy_method.value}")
    return table


def _machine(given: Measurement) -> str:
    facts = given.machine
    return (
        f"{facts['processor']}, {facts['cores']} cores, {float(facts['memory_mb']) / 1e3:.1f} GB, "
        f"{facts['system']}"
    )


def campaigns_table(listed: Sequence[dict[str, Any]]) -> Table:
    """Campaigns with what they ask for and how they stand."""
    table = Table(title="Benchmark campaigns")
    for name in ("id", "campaign", "metrics", "epsilon a run", "runs", "state", "waits for"):
        table.add_column(name, overflow="fold")
    for row in listed:
        state = f"run {row['open_run']} open" if row["open_run"] else row["state"]
        table.add_row(
            row["campaign_id"],
            row["title"],
            ", ".join(f"{metric['key']} ({metric['unit']})" for metric in row["metrics"]),
            f"{row['epsilon']:g}",
            f"{row['runs_opened']} of {row['runs']}",
            state,
            row["reason"],
        )
    return table


def preview_table(rows: Sequence[Preview], title: str) -> Table:
    """Shows what would be submitted next to what was measured."""
    table = Table(title=f"For {title}: what would be sent, encrypted and proven")
    for name in ("metric", "measured here", "rounded to the grid", "unit"):
        table.add_column(name, justify="left" if name in ("metric", "unit") else "right")
    for row in rows:
        table.add_row(row.key, f"{row.measured:,.6g}", f"{row.sent:,.6g}", row.unit)
    return table


def standing_table(rows: Sequence[Standing], title: str) -> Table:
    """Shows where this site stands, metric by metric."""
    first = rows[0]
    table = Table(
        title=f"{title}, run {first.run}: {first.count} organizations; known to this site alone"
    )
    for name in ("metric", "here", "mean", "median", "does better than"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for row in rows:
        table.add_row(
            f"{row.key} ({row.unit}, {row.better} is better)",
            f"{row.value:,.4g}",
            _estimate(row.statistics.get("mean")),
            _estimate(row.statistics.get("median")),
            _ahead(row),
        )
    return table


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.value:,.4g} ({estimate.lower:,.4g} to {estimate.upper:,.4g})"


def _ahead(row: Standing) -> str:
    if row.ahead is None or row.ahead_least is None or row.ahead_most is None:
        return "not told: no quantile was released"
    return f"{row.ahead:.0%} of them ({row.ahead_least:.0%} to {row.ahead_most:.0%})"
