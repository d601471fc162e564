"""One simulated run: sites and coordinator on a virtual clock until all ends and settles."""

from __future__ import annotations

import os
import random
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from federated.api.coordinator import CoordinatorAPI
from federated.errors import DomainError, InvalidInput
from federated.protocol.agreement import JobAgreement
from federated.protocol.attempt import State
from federated.simulation.cheats import transport_of
from federated.simulation.clock import Clock
from federated.simulation.coordinator import Played
from federated.simulation.faults import Crash, Faults, faults_of
from federated.simulation.home import MortalHome
from federated.simulation.job_coordinator import JobCoordinator
from federated.simulation.job_truth import JobTruth
from federated.simulation.network import Network
from federated.simulation.truth import Truth
from federated.simulation.world import World
from federated.site.agent import OUTAGE_PAUSE, SiteAgent

LONGEST_SECONDS = 40_000.0
SETTLE_SECONDS = 200.0
SOON = 0.05
Told = Callable[[str], None]


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


@contextmanager
def memory_folder(prefix: str) -> Iterator[Path]:
    """A folder for one run, where files cost no disk: only the run's own process must survive."""
    shared = Path("/dev/shm")  # noqa: S108
    where = shared if os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix=prefix) as folder:
        yield Path(folder)


class Run(ABC):
    """``malicious`` sites are the last of the list; with any, the coordinator lies too."""

    def __init__(
        self,
        world: World,
        folder: Path,
        *,
        seed: int,
        faults: Faults,
        malicious: int = 0,
        told: Told = lambda line: None,
    ) -> None:
        names = list(world.parties)
        if not 0 <= malicious <= len(names) - 3:
            raise InvalidInput(
                f"malicious: {malicious} of {len(names)} sites; "
                f"at most {len(names) - 3} leave enough honest ones"
            )
        self.world, self.seed, self._told = world, seed, told
        self.lines: list[str] = []
        self.clock = Clock()
        self.faults = faults
        evil = frozenset(names[len(names) - malicious :])
        self.homes = {name: world.settle(folder, name, seed) for name in names}
        self.truth = self._agree(faults.random, evil)
        self.coordinator = self.truth.coordinator
        self.network = Network(self.faults, self.truth, later=self.clock.later, malicious=evil)
        self.agents: dict[str, SiteAgent] = {}

    @abstractmethod
    def _agree(self, rng: random.Random, evil: frozenset[str]) -> Truth[Any]:
        """Propose what is played, to a coordinator, with its truth."""

    @abstractmethod
    def _ends(self) -> tuple[str, str]:
        """The outcome's state and reason."""

    @abstractmethod
    def _counts(self, played: Played) -> tuple[str, str]:
        """How much arrived for an attempt, and for its release."""

    def people(self, name: str) -> None:
        """What people at a site do before its agent's next step: nothing, for a job."""
        return

    def play(self) -> Outcome:
        """Run to the end, then without faults until every site has settled."""
        for name in self.homes:
            self.clock.later(self.faults.random.uniform(0, 2), partial(self._boot, name))
        self._until(lambda: self.coordinator.ended, LONGEST_SECONDS)
        if not self.coordinator.ended:
            noun = self.coordinator.agreement.NOUN
            self.truth.violations.append(f"the {noun} neither ended nor failed in time")
        seconds, self.faults.quiet = self.clock.seconds, True
        self._until(lambda: False, seconds + SETTLE_SECONDS)
        for agent in self.agents.values():
            agent.home.ledger.close()
        self.truth.end()
        state, reason = self._ends()
        return Outcome(
            seed=self.seed,
            state=state,
            reason=reason,
            seconds=seconds,
            rounds=self.lines,
            faults=self.faults.counts,
            refused=self.network.refused,
            violations=self.truth.violations,
            trace=self.network.trace,
        )

    def _until(self, done: Callable[[], bool], limit: float) -> None:
        self.clock.until(done, limit, after=self.coordinator.advance)

    def agent(self, name: str) -> SiteAgent:
        """A site's process as it starts, with nothing but its folder."""
        transport = transport_of(self.network, self.world.parties[name].identity)
        self.agents[name] = SiteAgent(
            MortalHome(self.homes[name], now=self.clock.time, faults=self.faults),
            api=CoordinatorAPI.over(transport),
            say=lambda line: self._heard(name, line),
            clock=self.clock.now,
        )
        return self.agents[name]

    def _boot(self, name: str) -> None:
        self.agent(name)
        self._turn(name)

    def _turn(self, name: str) -> None:
        agent = self.agents[name]
        try:
            self.people(name)
            pause = agent.step()
        except Crash:
            self.network.trace.append(f"{name} dies")
            agent.home.ledger.close()
            self.clock.later(self.faults.downtime(), lambda: self._boot(name))
            return
        except DomainError:
            pause = OUTAGE_PAUSE
        self.clock.later(max(pause, SOON), lambda: self._turn(name))

    def _heard(self, name: str, line: str) -> None:
        if "unexpected" in line:
            self.truth.violations.append(f"{name}: {line}")

    def ended(self, played: Played) -> None:
        """An attempt is over."""
        arrived, shares = self._counts(played)
        line = f"{played.title} {played.state} at {self.clock.seconds:.0f} s: {arrived}"
        if played.state is State.RELEASED:
            self.truth.released(played)
            line += f", {shares}"
        else:
            line += f"; {played.reason}"
        self.lines.append(line)
        self._told(line)


class JobRun(Run):
    """The world's job."""

    def _agree(self, rng: random.Random, evil: frozenset[str]) -> JobTruth:
        world = self.world
        spec, state = world.propose(rng)
        coordinator = JobCoordinator(
            world.parties[spec.proposer].identity.sign(spec),
            state,
            JobAgreement(spec, world.epoch),
            sealed=world.dealt.sealed,
            now=self.clock.now,
            told=self.ended,
        )
        return JobTruth(coordinator, self.homes, world.dealt.opened(), evil)

    def _ends(self) -> tuple[str, str]:
        return self.coordinator.state, self.coordinator.reason

    def _counts(self, played: Played) -> tuple[str, str]:
        sent = played.sent
        return f"{len(sent['contribution'])} contributions", f"{len(sent['share'])} shares"


def simulate(
    world: World,
    *,
    seed: int,
    drop: float | None = None,
    malicious: int = 0,
    told: Told = lambda line: None,
) -> Outcome:
    """One run in folders of its own, which are gone after it."""
    with memory_folder("federated-simulate-") as folder:
        faults = faults_of(seed, world.scenario.faults, drop)
        run = JobRun(world, folder, seed=seed, faults=faults, malicious=malicious, told=told)
        return run.play()
