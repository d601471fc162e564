"""Many seeds in worker processes, each with a key dealt once."""

from __future__ import annotations

from federated.simulation.run import Outcome, simulate
from federated.simulation.world import Scenario, World

_worlds: list[World] = []


def begin(scenario: Scenario, sites: int) -> None:
    """Deal this process's key."""
    _worlds.append(World.make(scenario, sites))


def one(seed: int, *, drop: float | None, malicious: int) -> Outcome:
    """One run in this process; its trace stays here, the seed repeats it."""
    outcome = simulate(_worlds[-1], seed=seed, drop=drop, malicious=malicious)
    outcome.trace.clear()
    return outcome
