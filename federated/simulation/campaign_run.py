"""A simulated campaign: every message of every run made, checked and recomputed in process."""

from __future__ import annotations

import random
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from federated.crypto.threshold import combine, partial_decrypt
from federated.errors import DomainError, InvalidInput
from federated.protocol.checks import charges_check
from federated.protocol.kinds.benchmark import BENCHMARK, vote_points
from federated.protocol.noise import noise_ciphertexts, noise_make, noised_cohort_check
from federated.protocol.refused import Refused
from federated.protocol.release import release_check, release_make, shares_check
from federated.protocol.share import product_of, share_make
from federated.protocol.transcript import transcript_check
from federated.simulation.campaign_malice import lies_of, submission_forge
from federated.simulation.campaign_world import CampaignWorld
from federated.simulation.run import memory_folder
from federated.site.ledger import Ledger
from federated.site.policy import Allotment
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignContext,
    CampaignRelease,
    CampaignTranscript,
    Measured,
    Submission,
    TrusteeNoise,
)
from federated.wire.round import DecryptionShare, Reason

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


class CampaignRun:
    """``malicious`` organizations are the last of the list; with any, the coordinator lies too."""

    def __init__(
        self, world: CampaignWorld, folder: Path, *, seed: int, drop: float, malicious: int
    ) -> None:
        names = list(world.organizations)
        if not 0 <= malicious <= len(names) - 4:
            raise InvalidInput(
                f"malicious: {malicious} of {len(names)} organizations; "
                f"the four trustees are honest, at most {len(names) - 4} others cheat"
            )
        self._world, self._seed, self._drop = world, seed, drop
        # Who drops out and who cheats how; keys, proofs and noise never draw from it.
        self._rng = random.Random(seed)  # noqa: S311
        self._evil = set(names[len(names) - malicious :])
        campaign_id = str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
        self._agreement = world.agreement(campaign_id)
        self._spec = self._agreement.spec
        self._ledgers = {name: Ledger(folder / f"{name}.sqlite") for name in names}
        self.refused: Counter[str] = Counter()
        self.violations: list[str] = []

    def play(self) -> CampaignOutcome:
        """Approve, then run after run."""
        spec, cost = self._spec, self._agreement.cost
        self._approvals = {
            name: one.approve(self._agreement) for name, one in self._world.organizations.items()
        }
        for ledger in self._ledgers.values():
            ledger.reserve(
                job_id=spec.campaign_id,
                spec=spec.digest(),
                proposer=spec.creator,
                cost=cost,
                rounds=spec.runs,
                allotment=_ALLOTMENT,
            )
        runs = [self._run(number) for number in range(1, spec.runs + 1)]
        for ledger in self._ledgers.values():
            ledger.close()
        return CampaignOutcome(self._seed, runs, self.refused, self.violations)

    def _run(self, number: int) -> RunResult:
        context = CampaignContext(
            campaign_id=self._spec.campaign_id,
            spec=self._spec.digest(),
            run=number,
            key_epoch=self._world.epoch.digest(),
            checkpoint="0" * 64,
        )
        measured, submissions = self._collect(context)
        if len(submissions) < self._spec.minimum_cohort:
            return RunResult(number, "abandoned", len(submissions))
        transcript = CampaignTranscript(
            spec=self._spec,
            approvals=tuple(self._approvals[s.body.organization] for s in submissions),
            context=context,
            submissions=tuple(submissions),
        )
        transcript = self._charged(transcript)
        transcript = self._decrypted(transcript)
        release, _ = release_make(transcript, agreement=self._agreement)
        transcript = transcript.model_copy(update={"release": release})
        release_check(transcript, agreement=self._agreement)
        self._compare(transcript, release, measured)
        values = {
            metric.key: [
                min(max(row[metric.key].value, metric.lower), metric.upper)
                for row in measured.values()
            ]
            for metric in self._spec.metrics
        }
        return RunResult(number, "released", len(submissions), release, values)

    def _collect(
        self, context: CampaignContext
    ) -> tuple[dict[str, dict[str, Measured]], list[Signed[Submission]]]:
        """What arrives in time and is accepted, with the measurements behind it."""
        agreement = self._agreement
        measured: dict[str, dict[str, Measured]] = {}
        taken: list[Signed[Submission]] = []
        for name, one in self._world.organizations.items():
            values = one.measure(self._world.draws, seed=self._seed, run=context.run)
            if self._rng.random() < self._drop:
                continue
            honest = one.submit(agreement, context, values)
            if name in self._evil:
                tried, forged = submission_forge(
                    self._rng, one, honest=honest, others=taken, agreement=agreement
                )
                self._must_refuse(tried, forged, context)
                continue
            BENCHMARK.contribution_check(honest, agreement=agreement, context=context)
            measured[name] = values
            taken.append(honest)
        return measured, taken

    def _must_refuse(
        self, tried: str, forged: Signed[Submission], context: CampaignContext
    ) -> None:
        try:
            BENCHMARK.contribution_check(forged, agreement=self._agreement, context=context)
        except DomainError as error:
            self.refused[f"{tried}: {error.code}"] += 1
            if error.code != "proof_invalid":
                self.violations.append(f"{tried} was refused as {error.code}")
        else:
            self.violations.append(f"{tried} was accepted")

    def _charged(self, transcript: CampaignTranscript) -> CampaignTranscript:
        """Every member checks the cohort, charges its ledger and says so."""
        cohort, receipts = transcript.cohort(), []
        for own in transcript.submissions:
            name = own.body.organization
            receipt = self._world.organizations[name].charge(
                self._agreement, transcript.context, cohort, own
            )
            self._ledgers[name].commit(
                job_id=self._spec.campaign_id,
                round=transcript.context.run,
                attempt=1,
                cohort=cohort.digest(),
            )
            receipts.append(receipt)
        return transcript.model_copy(update={"receipts": tuple(receipts)})

    def _decrypted(self, transcript: CampaignTranscript) -> CampaignTranscript:
        """A quorum adds its noise, checks all, and gives its shares; with cheats, after lies."""
        agreement = self._agreement
        quorum = self._rng.sample(sorted(self._world.shares), agreement.threshold)
        cohort = transcript_check(transcript, agreement=agreement)
        kept = {
            name: noise_make(
                agreement=agreement,
                cohort=cohort,
                identity=self._world.organizations[name].identity,
            )
            for name in quorum
        }
        transcript = transcript.model_copy(update={"noise": tuple(kept.values())})
        for name in quorum if self._evil else ():
            for told, reason, lie in lies_of(transcript, name, spec=agreement.spec):
                self._must_decline(told, reason, lie, kept[name])
        shares = [self._share(name, transcript, kept[name]) for name in quorum]
        transcript = transcript.model_copy(update={"shares": tuple(shares)})
        shares_check(transcript, agreement=agreement)
        return transcript

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
            identity=self._world.organizations[name].identity,
        )

    def _must_decline(
        self, told: str, reason: Reason, lie: CampaignTranscript, own: Signed[TrusteeNoise]
    ) -> None:
        try:
            self._share(own.body.organization, lie, own)
        except Refused as error:
            self.refused[f"{told}: {error.reason.value}"] += 1
            if error.reason is not reason:
                self.violations.append(f"{told} was refused as {error.reason.value}")
        else:
            self.violations.append(f"{told}: a share was given")

    def _compare(
        self,
        transcript: CampaignTranscript,
        release: CampaignRelease,
        measured: Mapping[str, Mapping[str, Measured]],
    ) -> None:
        """The released sums are the codewords' plain sums and the noise, to the last unit."""
        agreement, n = self._agreement, self._agreement.key.n
        points = [vote_points(agreement.spec, row) for row in measured.values()]
        noises = [self._open(noise_ciphertexts(s, agreement)) for s in transcript.noise]
        whole = self._open(product_of(transcript, agreement=agreement))
        for position, metric in enumerate(release.metrics):
            layout = agreement.layouts[position]
            rows = [layout.points[row[position]] for row in points]
            rows += [layout.unpack(noise[position], n) for noise in noises]
            plain = tuple(sum(column) for column in zip(*rows, strict=True))
            opened = layout.unpack(whole[position], n)
            if not plain == metric.slots == opened:
                self.violations.append(f"run {transcript.context.run}: {metric.key} differs")

    def _open(self, ciphertexts: list[int]) -> list[int]:
        agreement = self._agreement
        partials = {
            share.index: partial_decrypt(share, ciphertexts)
            for share in self._world.shares.values()
        }
        return combine(agreement.key, agreement.verification, partials)


def simulate_campaign(
    world: CampaignWorld,
    *,
    seed: int,
    drop: float | None = None,
    malicious: int = 0,
    told: Callable[[RunResult], None] = lambda result: None,
) -> CampaignOutcome:
    """One campaign with ledgers in a folder of its own, which is gone after it."""
    with tempfile.TemporaryDirectory(dir=memory_folder(), prefix="federated-campaign-") as folder:
        dropped = world.scenario.drop if drop is None else drop
        run = CampaignRun(world, Path(folder), seed=seed, drop=dropped, malicious=malicious)
        outcome = run.play()
    for result in outcome.runs:
        told(result)
    return outcome
