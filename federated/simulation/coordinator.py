"""A coordinator in memory, on a virtual clock: it plays attempts by the rules of ``protocol``.

The portal plays them by the same objects (``attempt.advance``, ``arrival_check``, the kinds); what
is here is only where things are kept: in memory, for one job or campaign.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from federated.errors import DomainError, NotFound
from federated.protocol.address import Attempt
from federated.protocol.agreement import AnyAgreement
from federated.protocol.arrival import Held, arrival_check, refusal_check, work_due
from federated.protocol.attempt import (
    OPEN,
    Abandon,
    Charged,
    Close,
    Noised,
    Release,
    State,
    View,
    advance,
    trustees_asked,
)
from federated.protocol.checks import approval_check
from federated.protocol.kinds import kind_of
from federated.protocol.kinds.base import Fail, Finish, Open
from federated.wire.base import Signed
from federated.wire.campaign import NoisedCohort
from federated.wire.key import KeyEpoch, SealedShare
from federated.wire.site import Inbox, KeyTask, Task, Work

APPROVAL_SECONDS = 600.0
WAIT_MS, ENDED_WAIT_MS = 1000, 20_000
GOING = ("proposed", "running")
A = TypeVar("A", bound=AnyAgreement)


@dataclass
class Played:
    """One attempt and everything that arrived for it, by message and organization."""

    at: Attempt
    title: str
    """As people read it in an error or a trace."""
    context: Any
    deadline: float
    since: float
    sent: dict[str, dict[str, Signed[Any]]]
    state: State = State.COLLECTING
    reason: str = ""
    charged: bool = False
    cohort: Any = None
    noised: NoisedCohort | None = None
    product: list[int] = field(default_factory=list)
    release: Any = None
    vectors: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Masked vectors by organization, each after its SHA-256."""

    @property
    def open(self) -> bool:
        return self.state in OPEN


class Coordinator(ABC, Generic[A]):
    """One agreement from its proposal to its end. Calls raise the DomainErrors of the portal."""

    def __init__(
        self,
        agreement: A,
        sealed: dict[str, SealedShare],
        *,
        now: Callable[[], float],
        told: Callable[[Played], None],
    ) -> None:
        self.agreement, self.kind = agreement, kind_of(agreement)
        self.state, self.reason = "proposed", ""
        self.played: list[Played] = []
        self.approvals: dict[str, Signed[Any]] = {}
        self._sealed, self._now, self._told = sealed, now, told
        self._confirmed: set[str] = set()
        self._approved_by = now() + APPROVAL_SECONDS

    @property
    def ended(self) -> bool:
        return self.state not in GOING

    @property
    def newest(self) -> Played | None:
        return self.played[-1] if self.played else None

    def find(self, at: Attempt) -> Played:
        """Raises NotFound."""
        for played in self.played:
            if played.at == at:
                return played
        raise NotFound(f"{at}: no such attempt")

    # What sites ask.

    def inbox(self, name: str) -> Inbox:
        tasks: list[Task] = []
        if name not in self._confirmed:
            tasks.append(KeyTask(kind=Work.KEY, epoch=self.agreement.spec.key_epoch))
        if self._may_approve and name not in self.approvals:
            tasks.append(self._task(Work.APPROVE, None))
        for played in self.played:
            work = work_due(
                self._held(played),
                name,
                sent=[message for message, rows in played.sent.items() if name in rows],
                asked=lambda played=played: self._asked(played),  # type: ignore[misc]
            )
            if work is not None:
                tasks.append(self._task(work, played))
        # A site trains from a model that it has verified.
        tasks.sort(key=lambda task: task.kind is Work.TRAIN)
        return Inbox(tasks=tuple(tasks), wait_ms=ENDED_WAIT_MS if self.ended else WAIT_MS)

    def _asked(self, played: Played) -> list[str]:
        return trustees_asked(
            self._view(played),
            number=played.at.round,
            since=played.since,
            seconds=self.agreement.seconds,
            now=self._now(),
        )

    def key(self, name: str) -> tuple[KeyEpoch, SealedShare | None]:
        return self.agreement.epoch, self._sealed.get(name)

    def transcript(self, played: Played) -> Any:
        """Raises NotFound before the attempt has closed."""
        if played.cohort is None:
            raise NotFound(f"{played.title} has not closed with a cohort")
        return self._transcript(played)

    def key_confirm(self, name: str) -> None:
        self._confirmed.add(name)

    # What sites send. The same bytes again are the same request.

    def approve(self, signed: Signed[Any]) -> None:
        """Raises Refused."""
        approval_check(signed, agreement=self.agreement)
        if self._may_approve:
            self.approvals[signed.body.organization] = signed

    def receive(self, played: Played, message: str, signed: Signed[Any], sender: str) -> None:
        """Raises as arrival_check and refusal_check."""
        held = self._held(played)
        if message == "refusal":
            if refusal_check(held, signed, sender=sender):
                played.sent[message].setdefault(sender, signed)
            return
        before = played.sent[message].get(sender)
        if arrival_check(
            held,
            message,
            signed,
            sender=sender,
            before=None if before is None else before.digest(),
            product=lambda: self._product(played),
        ):
            self._beside_check(played, message, signed)
            played.sent[message][sender] = signed
            self._follow(played, message, signed)

    def _product(self, played: Played) -> list[int]:
        if not played.product:
            transcript = self._transcript(played)
            played.product = self.kind.product(transcript, agreement=self.agreement)
        return played.product

    def _held(self, played: Played) -> Held:
        return Held(
            agreement=self.agreement,
            context=played.context,
            state=played.state,
            approved=tuple(self.approvals),
            cohort=played.cohort,
            noised=played.noised,
            release=played.release,
            name=played.title,
        )

    def _view(self, played: Played) -> View:
        sent = played.sent
        return View(
            state=played.state,
            deadline=played.deadline,
            minimum=self.agreement.minimum(played.context),
            expected=len(self.approvals),
            threshold=self.agreement.threshold,
            serving=self.agreement.serving(self.approvals),
            noising=self.kind.noising,
            contribution=self.kind.contribution,
            contributions={n: s.digest() for n, s in sent[self.kind.contribution].items()},
            members=() if played.cohort is None else played.cohort.members,
            receipts=sent["receipt"],
            noise={n: s.digest() for n, s in sent.get("noise", {}).items()},
            shares=sent["share"],
            refusals={
                name: f"{signed.body.reason.value}: {signed.body.detail}"
                for name, signed in sent["refusal"].items()
            },
        )

    # What is due.

    def advance(self) -> None:
        """Take the steps that are due now."""
        if self.state == "proposed":
            self._begin(late=self._now() >= self._approved_by)
        while not self.ended and self.played and self._step(self.played[-1]):
            pass

    def _step(self, played: Played) -> bool:
        match advance(self._view(played), now=self._now()):
            case Close(members):
                played.cohort = self.kind.cohort(context=played.context.digest(), members=members)
                self._enter(played, State.CHARGING)
            case Charged(state):
                played.charged = True
                self._enter(played, state)
            case Noised(noise):
                played.noised = NoisedCohort(
                    context=played.context.digest(),
                    cohort=played.cohort.digest(),
                    noise=dict(noise),
                )
                self._enter(played, State.DECRYPTING)
            case Release():
                self._combine(played)
            case Abandon(reason):
                self._over(played, State.ABANDONED, reason)
            case _:
                return False
        return True

    def _enter(self, played: Played, state: State) -> None:
        played.state, played.since = state, self._now()
        played.deadline = self._now() + self.agreement.seconds

    def _combine(self, played: Played) -> None:
        kept = list(played.sent["share"].items())[: self.agreement.threshold]
        played.sent["share"] = dict(kept)
        try:
            played.release = self._release(played)
        except DomainError as error:
            self._over(played, State.ABANDONED, f"the shares do not make a release: {error}")
        else:
            self._over(played, State.RELEASED, "")

    def _over(self, played: Played, state: State, reason: str) -> None:
        """End an attempt, and open what follows from it or end the agreement."""
        played.state, played.reason = state, reason
        self._told(played)
        if self.ended:
            return
        following = self.kind.following(
            self.agreement,
            number=played.at.round,
            attempt=played.at.number,
            state=state,
            reason=reason,
        )
        match following:
            case Open(number, attempt):
                self._open(number, attempt)
            case Finish():
                self._end("finished", "")
            case Fail(why):
                self._end("failed", why)

    def _open(self, number: int, attempt: int) -> None:
        now = self._now()
        self.state = "running"
        again = f"/{attempt}" if self.kind.attempts_most > 1 else ""
        self.played.append(
            Played(
                Attempt(self.agreement.id, number, attempt),
                f"{self.agreement.RELEASE} {number}{again}",
                self._context(number, attempt),
                deadline=now + self.agreement.seconds,
                since=now,
                sent={message: {} for message in (*self.kind.taken, "refusal")},
            )
        )

    def _end(self, state: str, reason: str) -> None:
        if self.ended:
            return
        self.state, self.reason = state, reason
        if self.played and self.played[-1].open:
            self._over(self.played[-1], State.ABANDONED, f"the {self.agreement.NOUN} is {state}")

    # What jobs and campaigns differ in.

    def _follow(self, played: Played, message: str, signed: Signed[Any]) -> None:
        """A verdict that disagrees ends the agreement, in its words."""
        if message == "verdict" and not signed.body.agrees:
            self._end("failed", f"{signed.body.organization} does not agree: {signed.body.detail}")

    def decline(self, signed: Signed[Any]) -> None:
        """A participant does not approve: that ends the agreement."""
        if self.agreement.participant(signed.body.organization) is not None:
            self.agreement.verify(signed)
            self._end("declined", f"{signed.body.organization}: {signed.body.reason}")

    @abstractmethod
    def shown(self) -> dict[str, Any]:
        """The job or campaign as sites see it."""

    def attempt_shown(self, played: Played) -> dict[str, Any]:
        """An attempt as sites see it."""
        cohort = None if played.cohort is None else played.cohort.dump()
        return {"context": played.context.dump(), "cohort": cohort}

    @property
    @abstractmethod
    def _may_approve(self) -> bool:
        """Whether an approval is still taken."""

    def _beside_check(self, played: Played, message: str, signed: Signed[Any]) -> None:
        """Check what travels next to a message. Raises InvalidInput."""

    @abstractmethod
    def _begin(self, *, late: bool) -> None:
        """Open the first attempt once enough have approved; ``late`` when no more time is given."""

    @abstractmethod
    def _context(self, number: int, attempt: int) -> Any:
        """The context of a new attempt."""

    @abstractmethod
    def _task(self, work: Work, played: Played | None) -> Task:
        """The task that asks for it."""

    @abstractmethod
    def _transcript(self, played: Played) -> Any:
        """The transcript of an attempt that has closed."""

    @abstractmethod
    def _release(self, played: Played) -> Any:
        """Combine the shares. Raises DomainError."""
