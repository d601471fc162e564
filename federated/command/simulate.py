"""``federated simulate``: one run told round by round, or many seeds with what they show."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from federated.command.console import answered, out
from federated.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from federated.simulation.campaign_world import CampaignScenario
    from federated.simulation.run import Outcome
    from federated.simulation.world import Scenario


@click.command()
@click.argument("spec", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--sites", type=click.IntRange(4, 1000), default=4, show_default=True)
@click.option(
    "--drop", type=click.FloatRange(0, 0.9), help="Share of requests lost; else the spec's."
)
@click.option(
    "--malicious",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Sites that cheat; with any, the coordinator lies too.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--runs", type=click.IntRange(1), default=1, show_default=True, help="Seeds from SEED on."
)
@answered
def simulate(
    *, spec: Path, sites: int, drop: float | None, malicious: int, seed: int, runs: int
) -> None:
    """Play the whole protocol in process with virtual sites, faults and cheats.

    SPEC is YAML or JSON: features, rounds, records, epsilon, delta, key_bits, round_seconds,
    aggregation, strategy, server_optimizer, unit, faults (drop, delay, replay, crash); every line
    has a default. What goes wrong follows the seed; keys, noise and proofs are random as always.
    Exit 1 where a run ends in anything but a right release or a clean abandonment.

    A SPEC with the one line campaign: (tests/data/campaign.yaml) plays a benchmark campaign of as
    many virtual organizations, and shows each statistic beside the truth; with faults: in it
    (tests/data/campaign_faults.yaml), real agents play it on a bad network.
    """
    from federated.simulation.campaign_world import scenario_load
    from federated.simulation.world import Scenario

    campaign = scenario_load(spec)
    if campaign is not None and campaign.faults is None:
        from federated.command.show_campaign import play

        seeds = range(seed, seed + runs)
        sys.exit(play(campaign, sites, drop=drop, malicious=malicious, seeds=seeds))
    if campaign is not None and malicious:
        raise InvalidInput("malicious: cheats play a campaign without faults:; take that line out")
    scenario = Scenario.load(spec) if campaign is None else campaign
    if runs == 1:
        outcomes = [_told(scenario, sites, drop=drop, malicious=malicious, seed=seed)]
    else:
        seeds = range(seed, seed + runs)
        outcomes = list(_many(scenario, sites, drop=drop, malicious=malicious, seeds=seeds))
    wrong = [outcome for outcome in outcomes if not outcome.right]
    _summary(outcomes)
    for outcome in wrong:
        again = f"--sites {sites} --malicious {malicious} --seed {outcome.seed}"
        again += "" if drop is None else f" --drop {drop:g}"
        out.print(f"[bold red]WRONG[/] federated simulate {spec} {again}")
        for violation in outcome.violations:
            out.print(f"  {escape(violation)}")
    sys.exit(1 if wrong else 0)


def _told(
    scenario: Scenario | CampaignScenario,
    sites: int,
    *,
    drop: float | None,
    malicious: int,
    seed: int,
) -> Outcome:
    from federated.simulation.campaign_faulty import simulate_faulty, world_of
    from federated.simulation.campaign_world import CampaignScenario
    from federated.simulation.run import simulate as simulate_one
    from federated.simulation.world import World

    def told(line: str) -> None:
        out.print(f"  {escape(line)}")

    if isinstance(scenario, CampaignScenario):
        world = world_of(scenario, sites)
    else:
        world = World.make(scenario, sites)
    quorum = f"{world.epoch.threshold} of {sites} decrypt"
    out.print(f"{sites} sites, {malicious} malicious, {quorum}, seed {seed}")
    if isinstance(scenario, CampaignScenario):
        outcome = simulate_faulty(world, scenario, seed=seed, drop=drop, told=told)
    else:
        outcome = simulate_one(world, seed=seed, drop=drop, malicious=malicious, told=told)
    ended = f"{outcome.state} after {outcome.seconds:.0f} virtual seconds"
    out.print(f"{ended}: {escape(outcome.reason)}" if outcome.reason else ended)
    return outcome


def _many(
    scenario: Scenario | CampaignScenario,
    sites: int,
    *,
    drop: float | None,
    malicious: int,
    seeds: range,
) -> Iterator[Outcome]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial

    from rich.progress import track

    from federated.simulation.batch import begin, one

    with ProcessPoolExecutor(
        os.cpu_count(),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=begin,
        initargs=(scenario, sites),
    ) as pool:
        played = pool.map(partial(one, drop=drop, malicious=malicious), seeds, chunksize=5)
        yield from track(played, description="runs", total=len(seeds), console=out, transient=True)


def _summary(outcomes: list[Outcome]) -> None:
    ends = Counter(outcome.state for outcome in outcomes)
    faults: Counter[str] = sum((outcome.faults for outcome in outcomes), Counter())
    refused: Counter[str] = sum((outcome.refused for outcome in outcomes), Counter())
    lines = {
        "runs": {"right": sum(outcome.right for outcome in outcomes), **ends},
        "faults": dict(faults.most_common()),
        "refused": dict(refused.most_common()),
    }
    for name, counts in lines.items():
        if counts:
            told = ", ".join(f"{what} {count}" for what, count in counts.items())
            out.print(f"{name:<8} {escape(told)}")
