"""A campaign of real agents on a bad network, as ``run`` plays jobs.

Every run must end in a right release or a clean abandonment.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from federated.protocol.agreement import CampaignAgreement
from federated.protocol.attempt import State
from federated.simulation.campaign_coordinator import CampaignCoordinator
from federated.simulation.campaign_truth import CampaignTruth
from federated.simulation.campaign_world import CampaignScenario
from federated.simulation.coordinator import Played
from federated.simulation.faults import faults_of
from federated.simulation.run import Outcome, Run, Told, memory_folder
from federated.simulation.world import Scenario, World
from federated.site.campaign_folder import CampaignFolder, measurements_of

REPLACED = 0.2
"""Share of submissions that their site replaces before the close."""


class FaultyCampaign(Run):
    """One campaign; ``drop`` in its scenario is the share of sites that measure nothing."""

    def __init__(
        self, world: World, scenario: CampaignScenario, folder: Path, **options: Any
    ) -> None:
        self._scenario = scenario
        self._decided: dict[tuple[int, str], tuple[bool, bool]] = {}
        self._replaced: set[tuple[int, str]] = set()
        super().__init__(world, folder, **options)

    def _agree(self, rng: random.Random, evil: frozenset[str]) -> CampaignTruth:
        world = self.world
        identities = [party.identity for party in world.parties.values()]
        campaign_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        coordinator = CampaignCoordinator(
            CampaignAgreement(
                self._scenario.spec(campaign_id, identities, world.epoch), world.epoch
            ),
            world.dealt.sealed,
            now=self.clock.now,
            told=self.ended,
        )
        return CampaignTruth(coordinator, self.homes, world.dealt.opened(), evil)

    def _ends(self) -> tuple[str, str]:
        played = self.coordinator.played
        states = Counter(each.state.value for each in played)
        reasons = [each.reason for each in played if each.reason]
        return "released" if states["released"] else "abandoned", "; ".join(reasons)

    def _counts(self, played: Played) -> tuple[str, str]:
        sent = played.sent
        submissions = f"{len(sent['submission'])} submissions"
        return submissions, f"{len(sent['noise'])} noise, {len(sent['share'])} shares"

    def people(self, name: str) -> None:
        """Measure for the open run, and now and then once more."""
        played = self.coordinator.newest
        if played is None or played.state is not State.COLLECTING:
            return
        folder = CampaignFolder(self.homes[name] / "campaigns" / self.coordinator.agreement.id)
        number = played.at.round
        run, key = folder.run(number), (number, name)
        if key not in self._decided:
            rng = self.faults.random
            self._decided[key] = (rng.random() >= self._scenario.drop, rng.random() < REPLACED)
        takes_part, replaces = self._decided[key]
        if folder.waiting() is not None or not folder.specs():
            return
        if takes_part and run.measured() is None:
            self._measure(folder, name, number)
        elif replaces and run.submission() is not None and key not in self._replaced:
            self._replaced.add(key)
            self._measure(folder, name, number, again="/again")
            run.replacement_ask()

    def _measure(self, folder: CampaignFolder, name: str, number: int, *, again: str = "") -> None:
        # Measurements are invented: a seed of their own for each time.
        seed = random.Random(f"{self.seed}{again}").getrandbits(32)  # noqa: S311
        measured = self._scenario.measure(name, seed=seed, run=number)
        values = {key: each.value for key, each in measured.items()}
        spec = self.coordinator.agreement.spec
        folder.wait(measurements_of(spec, values, measured_at="2026-01-01T00:00:00Z"))


def world_of(scenario: CampaignScenario, sites: int) -> World:
    """Sites that are all trustees. Raises InvalidInput for fewer than 4 or more than 99."""
    return World.make(Scenario(key_bits=scenario.key_bits, epsilon=scenario.epsilon), sites)


def simulate_faulty(
    world: World,
    scenario: CampaignScenario,
    *,
    seed: int,
    drop: float | None = None,
    told: Told = lambda line: None,
) -> Outcome:
    """One campaign in folders of its own, which are gone after it."""
    with memory_folder("federated-campaign-") as folder:
        assert scenario.faults is not None
        faults = faults_of(seed, scenario.faults, drop)
        run = FaultyCampaign(world, scenario, folder, seed=seed, faults=faults, told=told)
        return run.play()
