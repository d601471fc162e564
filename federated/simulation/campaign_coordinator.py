"""A campaign's coordinator in memory: the state machine of ``apps/benchmarks``, on a virtual clock.

A run is ``open -> charging -> noising -> decrypting -> released``, or ``abandoned`` from the first
four. What arrives is checked by the same functions as in the portal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from federated.errors import Conflict, DomainError, Forbidden, InvalidInput, NotFound
from federated.protocol.campaign_layout import run_cost
from federated.protocol.campaign_noise import noise_check
from federated.protocol.campaign_release import campaign_release_make, campaign_share_check
from federated.protocol.campaign_submit import submission_check
from federated.protocol.identity import verify_signed
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignApproval,
    CampaignContext,
    CampaignRelease,
    CampaignSpec,
    CampaignTranscript,
    NoisedCohort,
    Submission,
    SubmissionCohort,
)
from federated.wire.key import KeyEpoch, SealedShare
from federated.wire.site import Inbox, Task, Work

APPROVAL_SECONDS = 600.0
GRACE_SECONDS = 15.0
WAIT_MS, ENDED_WAIT_MS = 1000, 20_000
GOING = ("open", "charging", "noising", "decrypting")
DURING = {
    "submission": "open",
    "receipt": "charging",
    "noise": "noising",
    "share": "decrypting",
    "verdict": "released",
}


@dataclass
class Played:
    """One run and everything that arrived for it, by kind and organization."""

    number: int
    context: CampaignContext
    deadline: float
    since: float
    state: str = "open"
    reason: str = ""
    charged: bool = False
    cohort: SubmissionCohort | None = None
    noised: NoisedCohort | None = None
    release: CampaignRelease | None = None
    sent: dict[str, dict[str, Signed[Any]]] = field(
        default_factory=lambda: {kind: {} for kind in (*DURING, "refusal")}
    )


class CampaignCoordinator:
    """One campaign, its runs one after the other. Calls raise the DomainErrors of the portal."""

    def __init__(
        self,
        spec: CampaignSpec,
        epoch: KeyEpoch,
        sealed: dict[str, SealedShare],
        *,
        now: Callable[[], float],
        told: Callable[[Played], None],
    ) -> None:
        self.spec, self.epoch = spec, epoch
        self.state = "active"
        self.runs: list[Played] = []
        self.approvals: dict[str, Signed[CampaignApproval]] = {}
        self._sealed, self._now, self._told = sealed, now, told
        self._confirmed: set[str] = set()
        self._approved_by = now() + APPROVAL_SECONDS

    @property
    def ended(self) -> bool:
        return self.state != "active"

    @property
    def newest(self) -> Played | None:
        return self.runs[-1] if self.runs else None

    # What sites ask.

    def inbox(self, name: str) -> Inbox:
        campaign_id, tasks = self.spec.campaign_id, []
        if name not in self._confirmed:
            tasks.append(Task(kind=Work.KEY, epoch=self.spec.key_epoch))
        if name not in self.approvals and not self.ended:
            tasks.append(Task(kind=Work.APPROVE, campaign_id=campaign_id))
        for found in self.runs:
            kind = self._work(found, name)
            if kind is not None:
                tasks.append(Task(kind=kind, campaign_id=campaign_id, run=found.number))
        return Inbox(tasks=tuple(tasks), wait_ms=ENDED_WAIT_MS if self.ended else WAIT_MS)

    def _work(self, found: Played, name: str) -> Work | None:
        sent, member = found.sent, found.cohort is not None and name in found.cohort.members
        if name in sent["refusal"]:
            return None
        match found.state:
            case "open" if name in self.approvals and name not in sent["submission"]:
                return Work.SUBMIT
            case "charging" if member and name not in sent["receipt"]:
                return Work.CHARGE
            case "noising" if name not in sent["noise"] and name in self._asked(found):
                return Work.NOISE
            case "decrypting" if name not in sent["share"] and name in self._asked(found):
                return Work.DECRYPT
            case "released" if member and name not in sent["verdict"]:
                return Work.VERIFY
        return None

    def _asked(self, found: Played) -> list[str]:
        """As many trustees as are needed, the noise's first; all after a grace."""
        able = [t.organization for t in self.epoch.trustees if t.organization in self.approvals]
        if self._now() >= found.since + GRACE_SECONDS:
            return able
        turn = found.number % len(able)
        ordered = able[turn:] + able[:turn]
        if found.noised is not None:
            noisy = found.noised.noise
            ordered.sort(key=lambda name: name not in noisy)
        return ordered[: self.epoch.threshold]

    def key(self, name: str) -> tuple[KeyEpoch, SealedShare | None]:
        return self.epoch, self._sealed.get(name)

    def key_confirm(self, name: str) -> None:
        self._confirmed.add(name)

    def campaign(self) -> dict[str, Any]:
        newest = self.newest
        return {
            "spec": self.spec.dump(),
            "spec_digest": self.spec.digest(),
            "state": self.state,
            "approved_by_person": False,
            "runs_opened": len(self.runs),
            "open_run": newest.number if newest and newest.state == "open" else None,
            "run_list": [
                {"number": r.number, "state": r.state, "charged": r.charged} for r in self.runs
            ],
        }

    def find(self, number: int) -> Played:
        if not 1 <= number <= len(self.runs):
            raise NotFound(f"no run {number}")
        return self.runs[number - 1]

    def run(self, number: int) -> dict[str, Any]:
        found = self.find(number)
        cohort = None if found.cohort is None else found.cohort.dump()
        return {"context": found.context.dump(), "cohort": cohort}

    def transcript(self, number: int) -> CampaignTranscript:
        """Raises NotFound before the run has closed."""
        found = self.find(number)
        if found.cohort is None:
            raise NotFound(f"run {number} has not closed with a cohort")
        members, sent = sorted(found.cohort.members), found.sent
        noisy = sorted(sent["noise"] if found.noised is None else found.noised.noise)
        return CampaignTranscript(
            spec=self.spec,
            approvals=tuple(self.approvals[name] for name in members),
            context=found.context,
            submissions=tuple(sent["submission"][name] for name in members),
            receipts=tuple(sent["receipt"].values()),
            noise=tuple(sent["noise"][name] for name in noisy),
            shares=tuple(sent["share"].values()),
            release=found.release,
        )

    # What sites say.

    def approve(self, signed: Signed[CampaignApproval]) -> None:
        """Raises Forbidden, SignatureInvalid or InvalidInput."""
        participant = self.spec.participant(signed.body.organization)
        if participant is None:
            raise Forbidden(f"{signed.body.organization} takes no part")
        verify_signed(signed, participant.public_key)
        if (signed.body.spec, signed.body.cost) != (self.spec.digest(), self._cost):
            raise InvalidInput("the approval is of another spec or cost")
        self.approvals[signed.body.organization] = signed

    @property
    def _cost(self) -> Any:
        return run_cost(self.spec, self.epoch)

    def replace(self, number: int, signed: Signed[Submission], replaces: str, sender: str) -> None:
        """Raises Conflict where ``replaces`` is not what stands, or the run has closed."""
        found = self.find(number)
        before = found.sent["submission"].get(sender)
        if before is not None and before.digest() == signed.digest():
            return
        if before is None or before.digest() != replaces or found.state != "open":
            raise Conflict(f"run {number} is {found.state}, or another submission stands")
        self._check(found, "submission", signed)
        found.sent["submission"][sender] = signed

    def receive(self, number: int, kind: str, signed: Signed[Any], sender: str) -> None:
        """Raises Forbidden, Conflict, SignatureInvalid, ProofInvalid or InvalidInput."""
        found, body = self.find(number), signed.body
        if body.organization != sender or sender not in self.approvals:
            raise Forbidden(f"the message is {body.organization}'s, the certificate {sender}'s")
        before = found.sent[kind].get(sender)
        if before is not None:
            if before.digest() != signed.digest():
                raise Conflict(f"another {kind} of {sender} was accepted for run {number}")
            return
        if kind != "refusal":
            if found.state != DURING[kind]:
                raise Conflict(f"run {number} is {found.state}: it takes no {kind}")
            if body.context != found.context.digest():
                raise InvalidInput(f"{kind} of {sender} is bound to another run")
            self._check(found, kind, signed)
        found.sent[kind][sender] = signed

    def _check(self, found: Played, kind: str, signed: Signed[Any]) -> None:
        body, spec, epoch = signed.body, self.spec, self.epoch
        match kind:
            case "submission":
                submission_check(signed, spec=spec, epoch=epoch, context=found.context)
            case "receipt":
                assert found.cohort is not None
                self._verify(signed)
                known = body.organization in found.cohort.members
                if not known or (body.cohort, body.cost) != (found.cohort.digest(), self._cost):
                    raise InvalidInput(f"receipt of {body.organization} is of another charge")
            case "noise":
                assert found.cohort is not None
                noise_check(signed, spec=spec, epoch=epoch, cohort=found.cohort)
            case "share":
                transcript = self.transcript(found.number)
                campaign_share_check(signed, transcript=transcript, epoch=epoch)
            case "verdict":
                self._verify(signed)

    def _verify(self, signed: Signed[Any]) -> None:
        participant = self.spec.participant(signed.body.organization)
        assert participant is not None  # who approved is one
        verify_signed(signed, participant.public_key)

    # What is due.

    def advance(self) -> None:
        """Take the steps that are due now."""
        if not self.runs and not self.ended:
            everybody = len(self.approvals) == len(self.spec.participants)
            if everybody or self._now() >= self._approved_by:
                self._next()
            return
        while self.runs and self._step(self.runs[-1]):
            pass

    def _step(self, found: Played) -> bool:
        late, sent, needed = self._now() >= found.deadline, found.sent, self.epoch.threshold
        if found.state in GOING[1:] and sent["refusal"]:
            return self._end(found, "abandoned", "refused by " + ", ".join(sent["refusal"]))
        match found.state:
            case "open" if late or len(sent["submission"]) == len(self.approvals):
                return self._close(found)
            case "charging":
                assert found.cohort is not None
                if len(sent["receipt"]) == len(found.cohort.members):
                    found.charged = True
                    return self._enter(found, "noising")
            case "noising" if len(sent["noise"]) >= needed:
                found.noised = self.transcript(found.number).noised()
                return self._enter(found, "decrypting")
            case "decrypting" if len(sent["share"]) >= needed:
                return self._release(found)
        if late and found.state in GOING[1:]:
            return self._end(found, "abandoned", f"still {found.state} at the deadline")
        return False

    def _close(self, found: Played) -> bool:
        submissions = found.sent["submission"]
        if len(submissions) < self.spec.minimum_cohort:
            return self._end(found, "abandoned", f"{len(submissions)} submissions at the close")
        members = {name: signed.digest() for name, signed in submissions.items()}
        found.cohort = SubmissionCohort(context=found.context.digest(), members=members)
        return self._enter(found, "charging")

    def _enter(self, found: Played, state: str) -> bool:
        found.state, found.since = state, self._now()
        found.deadline = self._now() + self.spec.run_seconds
        return True

    def _release(self, found: Played) -> bool:
        transcript = self.transcript(found.number)
        try:
            found.release = campaign_release_make(transcript, spec=self.spec, epoch=self.epoch)
        except DomainError as error:
            return self._end(found, "abandoned", error.message)
        return self._end(found, "released", "")

    def _end(self, found: Played, state: str, reason: str) -> bool:
        found.state, found.reason = state, reason
        self._told(found)
        self._next()
        return False

    def _next(self) -> None:
        """The next run, or the campaign's end; nothing decrypts without enough trustees."""
        able = [t for t in self.epoch.trustees if t.organization in self.approvals]
        few = len(self.approvals) < self.spec.minimum_cohort or len(able) < self.epoch.threshold
        if few or len(self.runs) == self.spec.runs:
            self.state = "ended"
            return
        context = CampaignContext(
            campaign_id=self.spec.campaign_id,
            spec=self.spec.digest(),
            run=len(self.runs) + 1,
            key_epoch=self.epoch.digest(),
            checkpoint="0" * 64,
        )
        now = self._now()
        self.runs.append(Played(context.run, context, now + self.spec.run_seconds, now))
