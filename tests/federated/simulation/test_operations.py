"""Faults as operations: any order of them, and what must hold after each; a failure shrinks.

The agents, folders, ledgers and API calls are the real ones. What goes wrong, and when, is not
drawn from a seed as in the other tests: hypothesis chooses it.
"""

from __future__ import annotations

import random
from collections import Counter
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from federated.api.coordinator import CoordinatorAPI
from federated.errors import DomainError
from federated.protocol.attempt import State
from federated.simulation.campaign_faulty import FaultyCampaign, world_of
from federated.simulation.campaign_world import CampaignScenario, scenario_load
from federated.simulation.faults import Crash, Fate, Faults, FaultShares
from federated.simulation.network import SiteTransport
from federated.simulation.run import JobRun, Run, memory_folder
from federated.simulation.world import CAST, Scenario, World
from federated.wire.round import Reason, Refusal

DATA = Path(__file__).parents[2] / "data"
SITES = st.sampled_from(CAST)
STEPS_TO_END = 300


class Scripted(Faults):
    """The n-th request or the n-th place to die, from now on, as an operation says."""

    def __init__(self) -> None:
        super().__init__(random.Random(0), FaultShares())
        self.script(None)

    def script(
        self, fate: Fate | None, *, nth: int = 0, dies: int | None = None, late: float = 0.0
    ) -> None:
        self._fate, self._nth, self._dies, self._late = fate, nth, dies, late

    def fate(self) -> Fate:
        self._nth -= 1
        return self._fate if self._fate is not None and self._nth == -1 else Fate.DELIVERED

    def crash_point(self) -> None:
        if self._dies is not None:
            self._dies -= 1
            if self._dies < 0:
                self._dies = None
                raise Crash

    def lateness(self) -> float:
        return self._late


class Operations(RuleBasedStateMachine):
    """Four sites, all trustees, and what may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.faults = Scripted()
        self.run_ = self.play(self.stack.enter_context(memory_folder("federated-operations-")))
        self.coordinator, self.truth = self.run_.coordinator, self.run_.truth
        self.dead: set[str] = set(CAST)
        self.silent: set[str] = set()

    def play(self, folder: Path) -> Run:
        raise NotImplementedError

    def pass_(self, seconds: float) -> None:
        clock = self.run_.clock
        end = clock.seconds + seconds
        clock.until(lambda: False, end, after=self.coordinator.advance)
        clock.seconds = end
        self.coordinator.advance()

    def step(self, name: str) -> None:
        """A site takes its next step, if it can; a dead one starts first."""
        if name in self.silent:
            return
        try:
            if name in self.dead:
                self.run_.agent(name)
                self.dead.discard(name)
            self.run_.people(name)
            self.run_.agents[name].step()
        except Crash:
            self.run_.agents[name].home.ledger.close()
            self.dead.add(name)
        except DomainError:
            pass
        self.faults.script(None)
        self.coordinator.advance()

    @rule(seconds=st.sampled_from([1, 3, 20]))
    def everybody_works(self, seconds: float) -> None:
        self.pass_(seconds)
        for name in CAST:
            self.step(name)

    @rule(site=SITES)
    def one_site_works(self, site: str) -> None:
        self.pass_(3)
        self.step(site)

    @rule(
        site=SITES,
        fate=st.sampled_from([Fate.REQUEST_LOST, Fate.ANSWER_LOST, Fate.LATE, Fate.REPEATED]),
        nth=st.integers(0, 6),
        late=st.sampled_from([0.5, 30.0]),
    )
    def a_message_is_dropped_delayed_or_duplicated(
        self, site: str, fate: Fate, nth: int, late: float
    ) -> None:
        self.pass_(3)
        self.faults.script(fate, nth=nth, late=late)
        self.step(site)

    @rule(site=SITES, nth=st.integers(0, 20))
    def a_site_dies(self, site: str, nth: int) -> None:
        self.pass_(3)
        self.faults.script(None, dies=nth)
        self.step(site)

    @rule(seconds=st.sampled_from([10, 61, 130]))
    def time_passes(self, seconds: float) -> None:
        self.pass_(seconds)

    @rule(site=SITES)
    def a_site_falls_silent(self, site: str) -> None:
        self.silent.add(site)

    @precondition(lambda self: self.silent)
    @rule()
    def the_silent_sites_are_back(self) -> None:
        self.silent.clear()

    @precondition(lambda self: self.newest_state in (State.NOISING, State.DECRYPTING))
    @rule(site=SITES)
    def a_trustee_refuses(self, site: str) -> None:
        """Its signed word, whatever its agent would say."""
        played = self.coordinator.newest
        served = played.noised or played.cohort
        refusal = Refusal(
            context=played.context.digest(),
            cohort=served.digest(),
            organization=site,
            reason=Reason.BUDGET_EXCEEDED,
            detail="an operation",
        )
        signed = self.run_.world.parties[site].identity.sign(refusal)
        api = CoordinatorAPI.over(SiteTransport(self.run_.network, site))
        if self.coordinator.kind.noising:
            api.run_send(played.at.job_id, played.at.round, "refusal", signed)
        else:
            api.attempt_send(played.at, "refusal", signed)
        self.coordinator.advance()

    @property
    def newest_state(self) -> State | None:
        return None if self.coordinator.newest is None else self.coordinator.newest.state

    # What must hold after each operation.

    @invariant()
    def nothing_is_wrong(self) -> None:
        """Shares leave after durable charges, releases are the true sum with its noise."""
        assert self.truth.violations == []

    @invariant()
    def an_attempt_is_charged_once_and_for_its_cohort(self) -> None:
        cohorts = {
            (p.at.round, p.at.number): None if p.cohort is None else p.cohort.digest()
            for p in self.coordinator.played
        }
        for name in CAST:
            if not (self.run_.homes[name] / "ledger.sqlite").exists():
                continue
            rows = [row for row in self.truth._rows(name) if row["state"] == "committed"]
            charges = Counter((row["round"], row["attempt"]) for row in rows)
            assert set(charges.values()) <= {1}
            for row in rows:
                assert row["cohort"] == cohorts[row["round"], row["attempt"]]

    @invariant()
    def a_release_sums_at_least_the_minimum(self) -> None:
        for played in self.coordinator.played:
            if played.release is not None:
                minimum = self.coordinator.agreement.minimum(played.context)
                assert len(played.cohort.members) >= max(3, minimum)
                assert set(played.cohort.members) <= set(played.sent["receipt"])

    def teardown(self) -> None:
        """Once nothing goes wrong any more, every attempt ends and every site settles."""
        try:
            self.silent.clear()
            settled, steps = 0, 0
            while settled < 12 and self.truth.violations == []:
                assert steps < STEPS_TO_END, f"still {self.newest_state} after {steps} steps"
                steps += 1
                settled += self.coordinator.ended
                self.everybody_works(20 if self.coordinator.ended else 3)
            if self.truth.violations == []:
                self.truth.end()
                assert self.truth.violations == []
        finally:
            for agent in self.run_.agents.values():
                agent.home.ledger.close()
            self.stack.close()


@cache
def job_world() -> World:
    scenario = Scenario.load(DATA / "simulation.yaml")
    return World.make(scenario.model_copy(update={"rounds": 1, "features": 1}), 4)


class JobOperations(Operations):
    def play(self, folder: Path) -> Run:
        return JobRun(job_world(), folder, seed=0, faults=self.faults)


@cache
def campaign() -> CampaignScenario:
    found = scenario_load(DATA / "campaign_faults.yaml")
    assert found is not None
    one = found.metrics[0].model_copy(update={"statistics": ("mean",)})
    return found.model_copy(update={"runs": 1, "metrics": (one,), "drop": 0.0})


@cache
def campaign_world() -> World:
    return world_of(campaign(), 4)


class CampaignOperations(Operations):
    def play(self, folder: Path) -> Run:
        return FaultyCampaign(campaign_world(), campaign(), folder, seed=0, faults=self.faults)


BOUNDED = settings(
    max_examples=8, stateful_step_count=20, derandomize=True, database=None, deadline=None
)


def test_operations_on_a_job() -> None:
    run_state_machine_as_test(JobOperations, settings=BOUNDED)


def test_operations_on_a_campaign() -> None:
    run_state_machine_as_test(CampaignOperations, settings=BOUNDED)
