"""A campaign of real agents on a bad network: messages lost, late, repeated, out of order; crashes.

Sites run the product's agent on real folders and ledgers, the coordinator is in memory and the
clock virtual, as for jobs (``run.py``). Every run must end in a right release or a clean
abandonment.
"""

from __future__ import annotations

import heapq
import json
import random
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import cast

from federated.api.coordinator import CoordinatorAPI
from federated.errors import DomainError
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.attempt import State
from federated.protocol.campaign_propose import campaign_make
from federated.simulation.campaign_coordinator import CampaignCoordinator
from federated.simulation.campaign_network import CampaignAPI
from federated.simulation.campaign_truth import CampaignTruth
from federated.simulation.campaign_world import CampaignScenario, VirtualOrganization
from federated.simulation.carrier import Carrier
from federated.simulation.coordinator import Played
from federated.simulation.faults import Crash, Event, Faults
from federated.simulation.home import MortalHome
from federated.simulation.run import (
    BEGIN,
    LONGEST_SECONDS,
    SETTLE_SECONDS,
    SOON,
    Outcome,
    memory_folder,
)
from federated.simulation.world import CONSORTIUM, Scenario, World
from federated.site.agent import OUTAGE_PAUSE, SiteAgent
from federated.site.campaign_folder import CampaignFolder, measurements_of
from federated.wire.campaign import CampaignSpec
from federated.wire.job import Participant

REPLACED = 0.2
"""Share of submissions that their site replaces before the close."""


class FaultyCampaign:
    """One campaign. ``drop``: share of requests lost, else the scenario's."""

    def __init__(
        self,
        world: World,
        scenario: CampaignScenario,
        folder: Path,
        *,
        seed: int,
        drop: float | None,
        told: Callable[[str], None],
    ) -> None:
        assert scenario.faults is not None
        self._world, self._scenario, self._seed, self._told = world, scenario, seed, told
        rng = random.Random(seed)  # noqa: S311 - faults alone; keys and noise never draw from it
        rates = scenario.faults
        self.faults = Faults(
            rng,
            drop=rates.drop if drop is None else drop,
            delay=rates.delay,
            replay=rates.replay,
            crash=rates.crash,
        )
        self._now, self._count = 0.0, 0
        self._queue: list[tuple[float, int, Event]] = []
        self._lines: list[str] = []
        self._paths = {name: self._settle(folder, name) for name in world.parties}
        self._decided: dict[tuple[int, str], tuple[bool, bool]] = {}
        self._replaced: set[tuple[int, str]] = set()
        self.carrier = Carrier(self.faults, later=self._later)
        self.truth = CampaignTruth(self._paths, world.opened())
        sealed = {name: party.sealed for name, party in world.parties.items()}
        self.coordinator = CampaignCoordinator(
            CampaignAgreement(self._spec(rng), world.epoch),
            sealed,
            now=lambda: self._now,
            told=self._ended,
        )
        self.truth.coordinator = self.coordinator
        self._agents: dict[str, SiteAgent] = {}

    def _settle(self, folder: Path, name: str) -> Path:
        home = self._world.settle(folder, name, self._seed)
        path = home / "policy.yaml"
        policy = json.loads(path.read_text())
        policy["campaigns"] = {"max_epsilon": self._scenario.epsilon}
        path.write_text(json.dumps(policy))
        return home

    def _spec(self, rng: random.Random) -> CampaignSpec:
        scenario = self._scenario
        return campaign_make(
            campaign_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            consortium=CONSORTIUM,
            creator="northwind",
            created_at="2026-01-01T00:00:00Z",
            title="A simulated campaign",
            metrics=[metric.draft() for metric in scenario.metrics],
            epsilon=scenario.epsilon,
            delta=scenario.delta,
            noise=scenario.noise,
            participants=[
                Participant(organization=name, public_key=party.identity.public_key)
                for name, party in self._world.parties.items()
            ],
            key_epoch=self._world.epoch.digest(),
            minimum_cohort=scenario.minimum_cohort,
            schedule="once" if scenario.runs == 1 else "0 6 * * 1",
            runs=scenario.runs,
            run_seconds=scenario.run_seconds,
        )

    def play(self) -> Outcome:
        """Run to the campaign's end, then without faults until every site has settled."""
        for name in self._paths:
            self._later(self.faults.random.uniform(0, 2), partial(self._boot, name))
        self._until(lambda: self.coordinator.ended, LONGEST_SECONDS)
        if not self.coordinator.ended:
            self.truth.violations.append("the campaign did not end in time")
        seconds, self.faults.quiet = self._now, True
        self._until(lambda: False, seconds + SETTLE_SECONDS)
        for agent in self._agents.values():
            agent.home.ledger.close()
        self.truth.end()
        states = Counter(played.state.value for played in self.coordinator.played)
        return Outcome(
            seed=self._seed,
            state="released" if states["released"] else "abandoned",
            reason="; ".join(played.reason for played in self.coordinator.played if played.reason),
            seconds=seconds,
            rounds=self._lines,
            faults=self.faults.counts,
            refused=Counter(),
            violations=self.truth.violations,
            trace=self.carrier.trace,
        )

    def _until(self, done: Callable[[], bool], limit: float) -> None:
        while self._queue and not done():
            at, _, event = heapq.heappop(self._queue)
            if at > limit:
                return
            self._now = at
            event()
            self.coordinator.advance()

    def _later(self, seconds: float, event: Event) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self._now + seconds, self._count, event))

    def _boot(self, name: str) -> None:
        """A site's process starts, with nothing but its folder."""
        home = MortalHome(
            self._paths[name],
            now=lambda: BEGIN + timedelta(seconds=self._now),
            faults=self.faults,
        )
        api = CampaignAPI(self.carrier, self.coordinator, name, self.truth.tap)
        self._agents[name] = SiteAgent(
            home,
            api=cast(CoordinatorAPI, api),
            say=lambda line: self._heard(name, line),
            clock=lambda: self._now,
        )
        self._turn(name)

    def _turn(self, name: str) -> None:
        agent = self._agents[name]
        try:
            self._measure(name)
            pause = agent.step()
        except Crash:
            self.carrier.trace.append(f"{name} dies")
            agent.home.ledger.close()
            self._later(self.faults.downtime(), lambda: self._boot(name))
            return
        except DomainError:
            pause = OUTAGE_PAUSE
        self._later(max(pause, SOON), lambda: self._turn(name))

    def _measure(self, name: str) -> None:
        """What people at the site do: measure for the open run, and now and then once more."""
        played = self.coordinator.newest
        if played is None or played.state is not State.COLLECTING:
            return
        folder = CampaignFolder(self._paths[name] / "campaigns" / self.coordinator.spec.campaign_id)
        run, key = folder.run(played.number), (played.number, name)
        if key not in self._decided:
            rng = self.faults.random
            self._decided[key] = (rng.random() >= self._scenario.drop, rng.random() < REPLACED)
        takes_part, replaces = self._decided[key]
        if folder.waiting() is not None or not folder.specs():
            return
        if takes_part and run.measured() is None:
            self._wait(folder, name, played.number)
        elif replaces and run.submission() is not None and key not in self._replaced:
            self._replaced.add(key)
            self._wait(folder, name, played.number, again="/again")
            run.replacement_ask()

    def _wait(self, folder: CampaignFolder, name: str, number: int, *, again: str = "") -> None:
        one = VirtualOrganization(self._world.parties[name].identity)
        draws = {m.key: (m.unit, m.draw) for m in self._scenario.metrics}
        drawn = one.measure(draws, seed=hash_of(f"{self._seed}{again}"), run=number)
        values = {key: measured.value for key, measured in drawn.items()}
        spec = self.coordinator.spec
        folder.wait(measurements_of(spec, values, measured_at="2026-01-01T00:00:00Z"))

    def _heard(self, name: str, line: str) -> None:
        if "unexpected" in line:
            self.truth.violations.append(f"{name}: {line}")

    def _ended(self, played: Played) -> None:
        line = f"run {played.number} {played.state} at {self._now:.0f} s: "
        line += f"{len(played.sent['submission'])} submissions"
        if played.state is State.RELEASED:
            self.truth.released(played)
            line += f", {len(played.sent['noise'])} noise, {len(played.sent['share'])} shares"
        else:
            line += f"; {played.reason}"
        self._lines.append(line)
        self._told(line)


def hash_of(text: str) -> int:
    """A seed of its own for a text."""
    return random.Random(text).getrandbits(32)  # noqa: S311 - measurements are invented


def world_of(scenario: CampaignScenario, sites: int) -> World:
    """Sites that are all trustees. Raises InvalidInput for fewer than 4 or more than 99."""
    return World.make(Scenario(key_bits=scenario.key_bits), sites)


def simulate_faulty(
    world: World,
    scenario: CampaignScenario,
    *,
    seed: int,
    drop: float | None = None,
    told: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """One campaign in folders of its own, which are gone after it."""
    with tempfile.TemporaryDirectory(dir=memory_folder(), prefix="federated-campaign-") as folder:
        one = FaultyCampaign(world, scenario, Path(folder), seed=seed, drop=drop, told=told)
        return one.play()
