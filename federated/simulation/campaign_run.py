"""A simulated campaign without sites: up to 1,000 organizations' real messages and ledgers.

The coordinator and the truth are those of campaigns on a bad network. What a site's agent would do,
its organization does here in a loop, so that many may cheat and the coordinator may tell every lie.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from federated.errors import DomainError, InvalidInput
from federated.protocol.attempt import State
from federated.protocol.checks import charges_check
from federated.protocol.kinds.benchmark import submission_make, vote_points
from federated.protocol.noise import noise_make, noised_cohort_check
from federated.protocol.refused import Refused
from federated.protocol.release import release_check
from federated.protocol.share import share_make
from federated.protocol.transcript import cohort_check, transcript_check
from federated.simulation.campaign_coordinator import CampaignCoordinator
from federated.simulation.campaign_malice import lies_of, submission_forge
from federated.simulation.campaign_truth import CampaignTruth
from federated.simulation.campaign_world import CampaignWorld
from federated.simulation.clock import Clock
from federated.simulation.coordinator import Played
from federated.simulation.run import memory_folder
from federated.site.ledger import Ledger
from federated.site.policy import Allotment
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignRelease,
    CampaignTranscript,
    Measured,
    Submission,
    TrusteeNoise,
)
from federated.wire.round import ChargeReceipt, DecryptionShare, Reason

_ALLOTMENT = Allotment(epsilon=1000.0, delta=0.01)


@dataclass
class RunResult:
    """One run: its release beside what the cohort's measurements really are."""

    run: int
    state: str
    count: int
    release: CampaignRelease | None = None
    measured: dict[str, list[float]] = field(default_factory=dict)


@dataclass
class CampaignOutcome:
    """How a campaign ended; ``violations`` is empty unless protocol or simulation is wrong."""

    seed: int
    runs: list[RunResult]
    refused: Counter[str]
    violations: list[str]

    @property
    def right(self) -> bool:
        return not self.violations


class VotesTruth(CampaignTruth):
    """Compares votes with ``measured``, by run and organization: there are no folders."""

    measured: dict[int, dict[str, dict[str, Measured]]]

    def _points(self, name: str, number: int, signed: Signed[Submission]) -> list[int] | None:
        values = self.measured[number].get(name)
        return (
            None if values is None else list(vote_points(self.coordinator.agreement.spec, values))
        )


class CampaignRun:
    """``malicious`` organizations are the last of the list; with any, the coordinator lies too."""

    def __init__(
        self, world: CampaignWorld, folder: Path, *, seed: int, drop: float, malicious: int
    ) -> None:
        names = list(world.identities)
        if not 0 <= malicious <= len(names) - 4:
            raise InvalidInput(
                f"malicious: {malicious} of {len(names)} organizations; "
                f"the four trustees are honest, at most {len(names) - 4} others cheat"
            )
        self._world, self._seed, self._drop = world, seed, drop
        # Who drops out and who cheats how; keys, proofs and noise never draw from it.
        self._rng = random.Random(seed)  # noqa: S311
        self._evil = frozenset(names[len(names) - malicious :])
        campaign_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        self._agreement = world.agreement(campaign_id)
        self._spec = self._agreement.spec
        homes = {name: folder / name for name in names}
        for home in homes.values():
            home.mkdir()
        self._ledgers = {n: Ledger(home / "ledger.sqlite") for n, home in homes.items()}
        self._clock = Clock()
        self._coordinator = CampaignCoordinator(
            self._agreement, {}, now=self._clock.now, told=self._ended
        )
        self._truth = VotesTruth(self._coordinator, homes, world.shares, self._evil)
        self._truth.measured = {}
        self.refused: Counter[str] = Counter()

    def play(self) -> CampaignOutcome:
        """Approve, then run after run."""
        spec, coordinator = self._spec, self._coordinator
        for name, identity in self._world.identities.items():
            coordinator.approve(identity.sign(self._agreement.approval(name)))
            self._ledgers[name].reserve(
                job_id=spec.campaign_id,
                spec=spec.digest(),
                proposer=spec.creator,
                cost=self._agreement.cost,
                rounds=spec.runs,
                allotment=_ALLOTMENT,
            )
        coordinator.advance()
        runs = []
        while not coordinator.ended:
            assert coordinator.newest is not None
            runs.append(self._run(coordinator.newest))
        for ledger in self._ledgers.values():
            ledger.close()
        return CampaignOutcome(self._seed, runs, self.refused, self._truth.violations)

    def _run(self, played: Played) -> RunResult:
        number, count = played.at.round, self._collect(played)
        self._clock.seconds += self._spec.run_seconds
        self._coordinator.advance()
        if played.state is State.CHARGING:
            self._charge(played)
            self._decrypt(played)
        if played.release is None:
            if played.cohort is not None:
                self._truth.violations.append(f"{played.title} closed, but {played.reason}")
            return RunResult(number, played.state.value, count)
        release_check(self._coordinator.transcript(played), agreement=self._agreement)
        rows = self._truth.measured[number].values()
        values = {
            metric.key: [
                min(max(row[metric.key].value, metric.lower), metric.upper) for row in rows
            ]
            for metric in self._spec.metrics
        }
        return RunResult(number, "released", count, played.release, values)

    def _ended(self, played: Played) -> None:
        if played.release is not None:
            self._truth.released(played)

    def _send(self, played: Played, message: str, signed: Signed[Any]) -> None:
        name = signed.body.organization
        self._truth.tap(name, played.at, message, signed)
        self._coordinator.receive(played, message, signed, name)

    def _collect(self, played: Played) -> int:
        """Submit what arrives in time; return how many are accepted."""
        number = played.at.round
        taken: list[Signed[Submission]] = []
        measured = self._truth.measured[number] = {}
        for name, identity in self._world.identities.items():
            values = self._world.scenario.measure(name, seed=self._seed, run=number)
            if self._rng.random() < self._drop:
                continue
            honest = submission_make(
                agreement=self._agreement,
                context=played.context,
                identity=identity,
                measured=values,
            )
            if name in self._evil:
                tried, forged = submission_forge(
                    self._rng, identity, honest=honest, others=taken, agreement=self._agreement
                )
                send = partial(self._coordinator.receive, played, "submission", forged, name)
                self._must_fail(tried, "proof_invalid", send)
                continue
            measured[name] = values
            self._send(played, "submission", honest)
            taken.append(honest)
        return len(taken)

    def _must_fail(self, tried: str, wanted: str, act: Callable[[], object]) -> None:
        """Note how a cheat or a lie is refused; a violation where that is not as it must be."""
        try:
            act()
        except DomainError as error:
            named = error.reason.value if isinstance(error, Refused) else error.code
            self.refused[f"{tried}: {named}"] += 1
            if named != wanted:
                self._truth.violations.append(f"{tried} was refused as {named}")
        else:
            self._truth.violations.append(f"{tried} was accepted")

    def _charge(self, played: Played) -> None:
        """Every member checks the cohort, charges its ledger and says so."""
        agreement, cohort, digest = self._agreement, played.cohort, played.cohort.digest()
        for name, own in list(played.sent["submission"].items()):
            cohort_check(cohort, agreement=agreement, context=played.context, own=own)
            self._ledgers[name].commit(
                job_id=self._spec.campaign_id, round=played.at.round, attempt=1, cohort=digest
            )
            receipt = ChargeReceipt(
                context=cohort.context, cohort=digest, organization=name, cost=agreement.cost
            )
            self._send(played, "receipt", self._world.identities[name].sign(receipt))
        self._coordinator.advance()

    def _decrypt(self, played: Played) -> None:
        """A quorum adds its noise, checks all, and gives its shares; with cheats, after lies."""
        agreement, coordinator = self._agreement, self._coordinator
        quorum = self._rng.sample(sorted(self._world.shares), agreement.threshold)
        cohort = transcript_check(coordinator.transcript(played), agreement=agreement)
        kept = {}
        for name in quorum:
            identity = self._world.identities[name]
            kept[name] = noise_make(agreement=agreement, cohort=cohort, identity=identity)
            self._send(played, "noise", kept[name])
        coordinator.advance()
        transcript = coordinator.transcript(played)
        for name in quorum if self._evil else ():
            for told, reason, lie in lies_of(transcript, name, spec=self._spec):
                share = partial(self._share, name, lie, kept[name])
                self._must_fail(told, reason.value, share)
        for name in quorum:
            self._send(played, "share", self._share(name, transcript, kept[name]))
        coordinator.advance()

    def _share(
        self, name: str, transcript: CampaignTranscript, own: Signed[TrusteeNoise]
    ) -> Signed[DecryptionShare]:
        """What a trustee does with a transcript. Raises Refused."""
        spec, agreement, run = self._spec, self._agreement, transcript.context.run
        cohort = transcript_check(transcript, agreement=agreement)
        charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
        noised = noised_cohort_check(transcript, agreement=agreement, own=own)
        ledger = self._ledgers[name]
        if name in cohort.members and ledger.charged(spec.campaign_id, run, 1) != cohort.digest():
            raise Refused(Reason.CHARGE_MISMATCH, f"{name} charged another cohort")
        ledger.serve(
            job_id=spec.campaign_id, round=run, attempt=1, cohort=noised.digest(), charged=False
        )
        return share_make(
            transcript,
            agreement=agreement,
            share=self._world.shares[name],
            identity=self._world.identities[name],
        )


def simulate_campaign(
    world: CampaignWorld,
    *,
    seed: int,
    drop: float | None = None,
    malicious: int = 0,
    told: Callable[[RunResult], None] = lambda result: None,
) -> CampaignOutcome:
    """One campaign with ledgers in a folder of its own, which is gone after it."""
    with memory_folder("federated-campaign-") as folder:
        dropped = world.scenario.drop if drop is None else drop
        outcome = CampaignRun(world, folder, seed=seed, drop=dropped, malicious=malicious).play()
    for result in outcome.runs:
        told(result)
    return outcome
