"""A coordinator in memory: the state machine of ``apps/federation``, on a virtual clock.

``collecting -> charging -> decrypting -> released``, or ``abandoned`` from the first three. What
arrives is checked by the same functions as in the portal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from federated.aggregation.base import Total
from federated.errors import Conflict, DomainError, Forbidden, InvalidInput, NotFound
from federated.protocol.address import Attempt
from federated.protocol.contribute import contribution_check
from federated.protocol.cost import cohort_asked, round_cost
from federated.protocol.identity import verify_signed
from federated.protocol.masked import masked_bytes, total_of
from federated.protocol.refused import Refused
from federated.protocol.release import release_make
from federated.protocol.share import product_of, share_check
from federated.protocol.transcript import approval_check
from federated.training.server import ServerState
from federated.wire.base import Signed
from federated.wire.job import Approval, Decline, JobSpec
from federated.wire.key import KeyEpoch, SealedShare
from federated.wire.round import Cohort, Reason, Release, RoundContext, Transcript
from federated.wire.site import Inbox, Task, Work

ATTEMPTS_MOST = 4
APPROVAL_SECONDS = 600.0
WAIT_MS, ENDED_WAIT_MS = 1000, 20_000
OPEN = ("collecting", "charging", "decrypting")
DURING = {
    "contribution": "collecting",
    "receipt": "charging",
    "share": "decrypting",
    "verdict": "released",
}


@dataclass
class Try:
    """One attempt and everything that arrived for it, by kind and organization."""

    at: Attempt
    context: RoundContext
    deadline: float
    state: str = "collecting"
    reason: str = ""
    cohort: Cohort | None = None
    product: list[int] = field(default_factory=list)
    release: Release | None = None
    vectors: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Masked vectors by organization, each after its SHA-256."""
    sent: dict[str, dict[str, Signed[Any]]] = field(
        default_factory=lambda: {kind: {} for kind in (*DURING, "refusal")}
    )


class Coordinator:
    """One job from its proposal to its end. Calls raise the DomainErrors of the portal."""

    def __init__(
        self,
        *,
        signed: Signed[JobSpec],
        state: ServerState,
        epoch: KeyEpoch,
        sealed: dict[str, SealedShare],
        now: Callable[[], float],
        told: Callable[[Try], None],
    ) -> None:
        self.signed, self.spec, self.epoch = signed, signed.body, epoch
        self.model, self.states = state, {state.digest(): state}
        self.state, self.reason = "proposed", ""
        self.tries: list[Try] = []
        self.approvals: dict[str, Signed[Approval]] = {}
        self._sealed, self._now, self._told = sealed, now, told
        self._confirmed: set[str] = set()
        self._deadline = now() + APPROVAL_SECONDS

    @property
    def ended(self) -> bool:
        return self.state in ("finished", "failed", "declined")

    @property
    def participants(self) -> list[str]:
        return [participant.organization for participant in self.spec.participants]

    # What sites ask.

    def inbox(self, name: str) -> Inbox:
        tasks: list[Task] = []
        if name not in self._confirmed:
            tasks.append(Task(kind=Work.KEY, epoch=self.spec.key_epoch))
        if self.state == "proposed" and name not in self.approvals:
            tasks.append(Task(kind=Work.APPROVE, job_id=self.spec.job_id))
        for found in self.tries:
            kind = self._work(found, name)
            if kind is not None:
                at = found.at
                task = Task(kind=kind, job_id=at.job_id, round=at.round, attempt=at.number)
                tasks.append(task)
        tasks.sort(key=lambda task: task.kind is Work.TRAIN)
        return Inbox(tasks=tuple(tasks), wait_ms=ENDED_WAIT_MS if self.ended else WAIT_MS)

    def _work(self, found: Try, name: str) -> Work | None:
        refused = name in found.sent["refusal"]
        match found.state:
            case "collecting" if name not in found.sent["contribution"]:
                return Work.TRAIN
            case "charging" if name in found.sent["contribution"]:
                return None if refused or name in found.sent["receipt"] else Work.CHARGE
            case "decrypting" if self.epoch.trustee(name) and name not in found.sent["share"]:
                return None if refused else Work.DECRYPT
            case "released" if name not in found.sent["verdict"]:
                return Work.VERIFY
        return None

    def key(self, name: str) -> tuple[KeyEpoch, SealedShare | None]:
        return self.epoch, self._sealed.get(name)

    def key_confirm(self, name: str) -> None:
        self._confirmed.add(name)

    def job(self) -> dict[str, Any]:
        return {
            "spec": self.signed.dump(),
            "state": self.state,
            "rounds": [
                {"number": t.at.round, "attempt": t.at.number, "state": t.state} for t in self.tries
            ],
        }

    def find(self, at: Attempt) -> Try:
        found = next((each for each in self.tries if each.at == at), None)
        if found is None:
            raise NotFound(f"{at}: no such attempt")
        return found

    def transcript(self, at: Attempt) -> Transcript:
        found = self.find(at)
        if found.cohort is None:
            raise Conflict(f"{at} is not closed")
        shares = list(found.sent["share"].values())
        return Transcript(
            spec=self.signed,
            approvals=tuple(self.approvals[name] for name in self.participants),
            context=found.context,
            contributions=tuple(found.sent["contribution"].values()),
            receipts=tuple(found.sent["receipt"].values()),
            shares=tuple(shares[: self.epoch.threshold] if found.release else shares),
            release=found.release,
        )

    # What sites send. The same bytes again are the same request.

    def approve(self, signed: Signed[Approval]) -> None:
        approval_check(signed, spec=self.spec)
        if self.state == "proposed":
            self.approvals[signed.body.organization] = signed

    def decline(self, signed: Signed[Decline]) -> None:
        participant = self.spec.participant(signed.body.organization)
        if participant is not None:
            verify_signed(signed, participant.public_key)
            self._end("declined", f"{signed.body.organization}: {signed.body.reason}")

    def receive(self, at: Attempt, kind: str, signed: Signed[Any], sender: str) -> None:
        """Raises Forbidden, Conflict, Refused, SignatureInvalid, ProofInvalid, InvalidInput."""
        found, body = self.find(at), signed.body
        participant = self.spec.participant(body.organization)
        if participant is None:
            raise Refused(Reason.MEMBER_UNKNOWN, f"{body.organization} takes no part")
        if body.organization != sender:
            raise Forbidden(f"the message is {body.organization}'s, the certificate {sender}'s")
        before = found.sent[kind].get(sender)
        if before is not None:
            if before.digest() != signed.digest():
                raise Conflict(f"another {kind} of {sender} was accepted for {at}")
            return
        verify_signed(signed, participant.public_key)
        if kind == "refusal":
            cohort = found.cohort
            if cohort and (body.context, body.cohort) == (cohort.context, cohort.digest()):
                found.sent[kind][sender] = signed
            return
        if found.state != DURING[kind]:
            raise Conflict(f"{at} is {found.state}: it takes no {kind}")
        if body.context != found.context.digest():
            raise Refused(Reason.CONTEXT_MIXED, f"{kind} of {sender} is bound to another attempt")
        self._check(found, kind, signed)
        found.sent[kind][sender] = signed

    def vector_receive(self, at: Attempt, digest: str, body: bytes, sender: str) -> None:
        """Raises Conflict or InvalidInput."""
        found = self.find(at)
        if sender in found.vectors:
            if found.vectors[sender][0] != digest:
                raise Conflict(f"another masked vector of {sender} was stored for {at}")
            return
        if found.state != "collecting":
            raise Conflict(f"{at} is {found.state}: it takes no vectors")
        size = masked_bytes(self.spec, self.epoch)
        if len(body) != size or hashlib.sha256(body).hexdigest() != digest:
            raise InvalidInput(f"masked vector of {sender}: {len(body)} bytes or another digest")
        found.vectors[sender] = (digest, body)

    def vector(self, at: Attempt, digest: str) -> bytes:
        """A cohort member's masked vector. Raises NotFound."""
        for known, body in self.find(at).vectors.values():
            if known == digest:
                return body
        raise NotFound(f"{at}: no such masked vector")

    def _total(self, found: Try) -> Total | None:
        return total_of(
            self.transcript(found.at),
            spec=self.spec,
            epoch=self.epoch,
            source=lambda digest: [self.vector(found.at, digest)],
        )

    def _check(self, found: Try, kind: str, signed: Signed[Any]) -> None:
        body, cohort = signed.body, found.cohort
        if kind == "contribution":
            contribution_check(signed, spec=self.spec, epoch=self.epoch, context=found.context)
            here = found.vectors.get(body.organization, (None,))
            if body.masked is not None and here[0] != body.masked:
                raise InvalidInput(f"the masked vector of {body.organization} has not arrived")
            return
        assert cohort is not None
        if kind != "verdict" and body.cohort != cohort.digest():
            raise Refused(Reason.CHARGE_MISMATCH, f"{kind} is for another cohort")
        if kind == "receipt" and body.organization not in cohort.members:
            raise Refused(Reason.MEMBER_UNKNOWN, f"{body.organization} is not in the cohort")
        if kind == "receipt" and body.cost != round_cost(self.spec):
            raise Refused(Reason.CHARGE_MISMATCH, f"charges rho {body.cost.rho}")
        if kind == "share":
            share_check(signed, epoch=self.epoch, cohort=cohort, product=found.product)
        if kind == "verdict" and not body.agrees:
            self._end("failed", f"{body.organization} does not agree: {body.detail}")

    # What is due.

    def advance(self) -> None:
        """Take the steps that are due now."""
        if self.state == "proposed":
            if len(self.approvals) == len(self.participants):
                self.state = "running"
                self._open(1, 1)
            elif self._now() >= self._deadline:
                self._end("failed", "not approved in time")
            return
        while not self.ended and self._step(self.tries[-1]):
            pass

    def _step(self, found: Try) -> bool:
        late = self._now() >= found.deadline
        sent = found.sent
        match found.state:
            case "collecting" if late or len(sent["contribution"]) == len(self.participants):
                return self._close(found)
            case "charging":
                assert found.cohort is not None
                if len(sent["receipt"]) == len(found.cohort.members):
                    found.state, found.deadline = "decrypting", self._later()
                    return True
                if late or sent["refusal"]:
                    return self._abandon(found, "not every member charged" + _by(found))
            case "decrypting":
                able = len(self.epoch.trustees) - len(sent["refusal"])
                if len(sent["share"]) >= self.epoch.threshold:
                    return self._release(found)
                if late or able < self.epoch.threshold:
                    return self._abandon(found, "too few shares" + _by(found))
        return False

    def _close(self, found: Try) -> bool:
        contributions = found.sent["contribution"]
        if len(contributions) < found.context.minimum(self.spec):
            return self._abandon(found, f"{len(contributions)} contributions")
        members = {name: signed.digest() for name, signed in contributions.items()}
        found.cohort = Cohort(context=found.context.digest(), members=members)
        found.product = product_of(self.transcript(found.at), spec=self.spec, epoch=self.epoch)
        found.state, found.deadline = "charging", self._later()
        return True

    def _release(self, found: Try) -> bool:
        before = self.states[found.context.model]
        try:
            release, after = release_make(
                self.transcript(found.at),
                spec=self.spec,
                epoch=self.epoch,
                state=before,
                total=self._total(found),
            )
        except DomainError as error:
            return self._abandon(found, error.message)
        kept = list(found.sent["share"].items())[: self.epoch.threshold]
        found.sent["share"] = dict(kept)
        found.release, found.state = release, "released"
        self.model = self.states[after.digest()] = after
        self._told(found)
        if found.at.round == self.spec.strategy.rounds:
            self._end("finished", "")
        else:
            self._open(found.at.round + 1, 1)
        return True

    def _abandon(self, found: Try, reason: str) -> bool:
        found.state, found.reason = "abandoned", reason
        self._told(found)
        if self.ended:
            return False
        if found.at.number >= ATTEMPTS_MOST:
            self._end("failed", f"round {found.at.round} failed {found.at.number} times")
        else:
            self._open(found.at.round, found.at.number + 1)
        return True

    def _open(self, round: int, number: int) -> None:
        released = [len(t.cohort.members) for t in self.tries if t.release and t.cohort]
        context = RoundContext.parse(
            {
                "job_id": self.spec.job_id,
                "spec": self.spec.digest(),
                "round": round,
                "attempt": number,
                "model": self.model.digest(),
                "key_epoch": self.epoch.digest(),
                "checkpoint": "0" * 64,
                **cohort_asked(self.spec, attempt=number, released=released),
            }
        )
        self.tries.append(Try(Attempt(self.spec.job_id, round, number), context, self._later()))

    def _end(self, state: str, reason: str) -> None:
        if self.ended:
            return
        self.state, self.reason = state, reason
        if self.tries and self.tries[-1].state in OPEN:
            self._abandon(self.tries[-1], f"the job is {state}")

    def _later(self) -> float:
        return self._now() + self.spec.round_seconds


def _by(found: Try) -> str:
    told = [f"{n} refuses, {s.body.reason.value}" for n, s in found.sent["refusal"].items()]
    return f": {'; '.join(told)}" if told else ""
