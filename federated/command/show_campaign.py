"""A simulated campaign as a person sees it: each statistic, its interval, and the truth."""

from __future__ import annotations

from collections import Counter

import numpy as np
from rich.markup import escape
from rich.table import Table

from federated.command.console import out
from federated.simulation.campaign_run import RunResult, simulate_campaign
from federated.simulation.campaign_world import CampaignScenario, CampaignWorld
from federated.wire.campaign import QUANTILES


def play(
    scenario: CampaignScenario,
    organizations: int,
    *,
    drop: float | None,
    malicious: int,
    seeds: range,
) -> int:
    """Play and print a campaign a seed; the exit code."""
    world = CampaignWorld.make(scenario, organizations)
    out.print(
        f"{organizations} virtual organizations, {malicious} malicious, {world.epoch.threshold} of "
        f"{len(world.shares)} trustees, epsilon {scenario.epsilon:g} a run, {scenario.noise} noise"
    )
    refused: Counter[str] = Counter()
    violations: list[str] = []
    for seed in seeds:
        outcome = simulate_campaign(
            world, seed=seed, drop=drop, malicious=malicious, told=lambda r: _told(world, r)
        )
        refused += outcome.refused
        violations += [f"seed {seed}: {violation}" for violation in outcome.violations]
    if refused:
        told = ", ".join(f"{what} {count}" for what, count in refused.most_common())
        out.print(f"refused  {escape(told)}")
    for violation in violations:
        out.print(f"[bold red]WRONG[/] {escape(violation)}")
    return 1 if violations else 0


def truth_of(name: str, values: list[float]) -> float:
    """A statistic of the measurements themselves."""
    if name == "mean":
        return float(np.mean(values))
    if name == "std":
        return float(np.std(values))
    return float(np.quantile(values, QUANTILES[name]))


def _told(world: CampaignWorld, result: RunResult) -> None:
    if result.release is None:
        out.print(f"run {result.run}: {result.state}, {result.count} submissions are too few")
        return
    note = ", illustrative: read the intervals" if result.release.metrics[0].illustrative else ""
    table = Table(
        "metric", "statistic", "released", "95% interval", "truth", title=f"run {result.run}"
    )
    units = {metric.key: metric.unit for metric in world.scenario.metrics}
    for metric in result.release.metrics:
        for name, estimate in metric.statistics.items():
            truth = truth_of(name, result.measured[metric.key])
            table.add_row(
                f"{metric.key} ({units[metric.key]})",
                name,
                f"{estimate.value:.4g}",
                f"{estimate.lower:.4g} to {estimate.upper:.4g}",
                f"{truth:.4g}",
            )
    out.print(table)
    out.print(f"{result.count} submissions{note}")
