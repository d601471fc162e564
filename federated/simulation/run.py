"""One simulated run: sites and coordinator on a virtual clock until the job ends and settles."""

from __future__ import annotations

import heapq
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import cast

from federated.api.coordinator import CoordinatorAPI
from federated.errors import DomainError, InvalidInput
from federated.protocol.agreement import JobAgreement
from federated.protocol.attempt import State
from federated.simulation.coordinator import Played
from federated.simulation.faults import Crash, Event, Faults
from federated.simulation.home import MortalHome
from federated.simulation.job_coordinator import JobCoordinator
from federated.simulation.network import Network, VirtualAPI
from federated.simulation.truth import Truth
from federated.simulation.world import World
from federated.site.agent import OUTAGE_PAUSE, SiteAgent

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
LONGEST_SECONDS = 40_000.0
SETTLE_SECONDS = 200.0
SOON = 0.05


@dataclass
class Outcome:
    """How a run ended; ``violations`` is empty unless the protocol or the simulation is wrong."""

    seed: int
    state: str
    reason: str
    seconds: float
    rounds: list[str]
    faults: Counter[str]
    refused: Counter[str]
    violations: list[str]
    trace: list[str] = field(repr=False, default_factory=list)

    @property
    def right(self) -> bool:
        return not self.violations


def memory_folder() -> str | None:
    """Where files cost no disk: a run needs no more than its own process to survive."""
    shared = Path("/dev/shm")  # noqa: S108
    return str(shared) if os.access(shared, os.W_OK) else None


class Run:
    """``malicious`` sites are the last of the list; with any, the coordinator lies too."""

    def __init__(
        self,
        world: World,
        folder: Path,
        *,
        seed: int,
        drop: float | None = None,
        malicious: int = 0,
        told: Callable[[str], None] = lambda line: None,
    ) -> None:
        names = list(world.parties)
        if not 0 <= malicious <= len(names) - 3:
            raise InvalidInput(
                f"malicious: {malicious} of {len(names)} sites; "
                f"at most {len(names) - 3} leave enough honest ones"
            )
        self._world, self._told, self._seed = world, told, seed
        self.rounds: list[str] = []
        rng = random.Random(seed)  # noqa: S311 - faults alone; keys and noise never draw from it
        rates = world.scenario.faults
        self.faults = Faults(
            rng,
            drop=rates.drop if drop is None else drop,
            delay=rates.delay,
            replay=rates.replay,
            crash=rates.crash,
        )
        self._now = 0.0
        self._queue: list[tuple[float, int, Event]] = []
        self._count = 0
        evil = frozenset(names[len(names) - malicious :])
        self._paths = {name: world.settle(folder, name, seed) for name in names}
        self.truth = Truth(self._paths, world.opened(), evil)
        spec, state = world.propose(rng)
        self.coordinator = JobCoordinator(
            signed=world.parties[spec.proposer].identity.sign(spec),
            state=state,
            agreement=JobAgreement(spec, world.epoch),
            sealed={name: party.sealed for name, party in world.parties.items()},
            now=lambda: self._now,
            told=self._ended,
        )
        self.truth.coordinator = self.coordinator
        self.network = Network(
            self.coordinator, self.faults, malicious=evil, later=self._later, tap=self.truth.tap
        )
        self._agents: dict[str, SiteAgent] = {}

    def play(self) -> Outcome:
        """Run to the end of the job, then without faults until every site has settled."""
        for name in self._paths:
            self._later(self.faults.random.uniform(0, 2), partial(self._boot, name))
        self._until(lambda: self.coordinator.ended, LONGEST_SECONDS)
        if not self.coordinator.ended:
            self.truth.violations.append("the job neither ended nor failed in time")
        seconds = self._now
        self.faults.quiet = True
        self._until(lambda: False, seconds + SETTLE_SECONDS)
        for agent in self._agents.values():
            agent.home.ledger.close()
        self.truth.end(spoilt=self.network.spoilt, lied_to=self.network.lied_to)
        return Outcome(
            seed=self._seed,
            state=self.coordinator.state,
            reason=self.coordinator.reason,
            seconds=seconds,
            rounds=self.rounds,
            faults=self.faults.counts,
            refused=self.network.refused,
            violations=[*self.truth.violations, *self.network.violations],
            trace=self.network.trace,
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
        api = VirtualAPI(self.network, self._world.parties[name].identity)
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
            pause = agent.step()
        except Crash:
            self.network.trace.append(f"{name} dies")
            agent.home.ledger.close()
            self._later(self.faults.downtime(), lambda: self._boot(name))
            return
        except DomainError:
            pause = OUTAGE_PAUSE
        self._later(max(pause, SOON), lambda: self._turn(name))

    def _heard(self, name: str, line: str) -> None:
        if "unexpected" in line:
            self.truth.violations.append(f"{name}: {line}")

    def _ended(self, played: Played) -> None:
        there = len(played.sent["contribution"])
        line = f"{played.at} {played.state} at {self._now:.0f} s: {there} contributions"
        if played.state is State.RELEASED:
            self.truth.released(played)
            line += f", {len(played.sent['share'])} shares"
        else:
            line += f"; {played.reason}"
        self.rounds.append(line)
        self._told(line)


def simulate(
    world: World,
    *,
    seed: int,
    drop: float | None = None,
    malicious: int = 0,
    told: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """One run in folders of its own, which are gone after it."""
    with tempfile.TemporaryDirectory(dir=memory_folder(), prefix="federated-simulate-") as folder:
        run = Run(world, Path(folder), seed=seed, drop=drop, malicious=malicious, told=told)
        return run.play()
