"""Many seeds in worker processes, each with a key dealt once."""

from __future__ import annotations

from federated.simulation.campaign_faulty import simulate_faulty, world_of
from federated.simulation.campaign_world import CampaignScenario
from federated.simulation.run import Outcome, simulate
from federated.simulation.world import Scenario, World

_worlds: list[World] = []
_campaigns: list[CampaignScenario] = []


def begin(scenario: Scenario | CampaignScenario, sites: int) -> None:
    """Deal this process's key."""
    if isinstance(scenario, CampaignScenario):
        _campaigns.append(scenario)
        _worlds.append(world_of(scenario, sites))
    else:
        _worlds.append(World.make(scenario, sites))


def one(seed: int, *, drop: float | None, malicious: int) -> Outcome:
    """One run in this process; its trace stays here, the seed repeats it."""
    if _campaigns:
        outcome = simulate_faulty(_worlds[-1], _campaigns[-1], seed=seed, drop=drop)
    else:
        outcome = simulate(_worlds[-1], seed=seed, drop=drop, malicious=malicious)
    outcome.trace.clear()
    return outcome
