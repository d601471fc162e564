"""What an app does in its own way with the attempts of its kinds, and the registry of kinds.

The protocol says in what kinds differ (``federated.protocol.kinds``); a ``Played`` says the same of
their rows: what is stored, recorded and started. An app registers one for each of its kinds::

    play(TRAINING, JOBS)

All else of an attempt is in this app, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import Q

from apps.common.actor import Actor
from apps.common.bodies import SMALL
from apps.provenance.tags import AnyTag
from federated.errors import Conflict
from federated.protocol.arrival import Closed
from federated.protocol.kinds import Kind
from federated.wire.base import Message, Signed
from federated.wire.site import Task, Work

if TYPE_CHECKING:
    from apps.attempts.models import Agreement, Attempt, Participant


@dataclass(frozen=True)
class Sent:
    """A signed message that sites send: its type, its event, how the API describes it."""

    wire: type[Message]
    tag: AnyTag
    summary: str
    limit: int | None = SMALL
    """Bytes that it may take; None for as many as any body may."""


@dataclass(frozen=True, kw_only=True)
class Tags:
    """The events of a kind's agreements and attempts, besides those of messages."""

    endorsed: AnyTag
    ended: Mapping[str, AnyTag]
    """By the state that an agreement ends in."""
    opened: AnyTag
    closed: AnyTag
    charged: AnyTag
    noised: AnyTag | None = None
    released: AnyTag
    abandoned: AnyTag
    replaced: AnyTag | None = None
    expired: AnyTag


@dataclass(frozen=True, kw_only=True)
class Opening:
    """An attempt to open: its context, columns of its own, digests for its event."""

    context: Message
    columns: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A release and what belongs to it: columns, digests and data of its event.

    ``keep`` stores more under the agreement's lock, in the release's transaction.
    """

    release: Message
    columns: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    keep: Callable[[Any], None] | None = None


class Played(ABC):
    """How an app plays the attempts of its kinds. An object without state."""

    subject: ClassVar[str]
    """What events, addresses and people call an agreement: "job"."""
    model: ClassVar[type[Agreement]]
    """The app's own row of an agreement."""
    stored: ClassVar[type[Message]]
    """The type of what ``spec`` columns hold: a spec, or a signed one."""
    context_type: ClassVar[type[Message]]
    cohort_type: ClassVar[type[Message]]
    release_type: ClassVar[type[Message]]
    transcript_type: ClassVar[type[Message]]
    noun: ClassVar[str]
    """What people call an attempt: "attempt" or "run"."""
    messages: ClassVar[Mapping[str, Sent]]
    """What is sent for an attempt by name: those of ``Kind.taken``, and refusals."""
    answers: ClassVar[Mapping[str, Sent]]
    """What sites say to a spec: "approval", "decline", and those of ``statements``."""
    statements: ClassVar[Mapping[str, Callable[..., bool]]] = {}
    """The service of each that is neither: (agreement, *, organization, signed, actor)."""
    summaries: ClassVar[tuple[str, str, str]]
    """Of an attempt, its transcript and its release, in the API's description."""
    replaceable: ClassVar[frozenset[str]] = frozenset()
    """The messages that may be replaced (``Kind.replaceable``)."""
    tags: ClassVar[Tags]
    closed_error: ClassVar[type[Conflict]] = Closed
    answerable: ClassVar[str]
    """The state in which an agreement takes answers."""
    final: ClassVar[frozenset[str]]
    """Answers that are not taken back."""
    ended_by_portal: ClassVar[str]
    """The state of an agreement that ends without its key, or by a site's verdict."""
    expiring: ClassVar[Mapping[str, str]]
    """The messages that go when retention is over, and what the event calls their number."""
    expires_whole: ClassVar[bool]
    """Whether they go after the agreement's end; else after each attempt's own."""
    inbox_first: ClassVar[bool] = False
    """Whether its tasks stand before those of other kinds."""
    wait_ms: ClassVar[tuple[int, int, int]]
    """When a site asks again: while an attempt collects, in later states, between attempts."""

    # How people and messages name an attempt.

    @abstractmethod
    def name(self, attempt: Attempt) -> str:
        """As people read it: "round 3, attempt 1"."""

    @abstractmethod
    def place(self, attempt: Attempt) -> dict[str, int]:
        """Which attempt it is, in an event's data."""

    @abstractmethod
    def task(
        self, work: Work, agreement_id: Any, number: int | None = None, attempt: int | None = None
    ) -> Task:
        """What an inbox asks of a site."""

    @abstractmethod
    def describe(self, attempt: Attempt) -> dict[str, Any]:
        """An attempt as the API shows it."""

    def state_name(self, attempt: Attempt) -> str:
        """The attempt's state as the API and pages have always called it."""
        return attempt.state

    # An agreement's answers and its end. Callers hold its lock.

    @abstractmethod
    def answered(
        self, agreement: Any, part: Participant, signed: Signed[Any], actor: Actor
    ) -> None:
        """Record a site's answer, and begin what follows from it."""

    def ending_digests(self, agreement: Any) -> dict[str, str]:
        """More digests for the event of an end."""
        return {}

    def over(self, agreement: Any) -> None:
        """Do what follows from an agreement's end."""
        return None

    # An attempt's steps.

    @abstractmethod
    def opening(self, agreement: Any, *, number: int, attempt: int, checkpoint: str) -> Opening:
        """The next attempt's context, and what is frozen with it."""

    @abstractmethod
    def closed(self, attempt: Attempt, members: Mapping[str, str]) -> None:
        """Record the close, and begin what follows from it."""

    def ended(self, agreement: Any) -> None:
        """Open what follows from the attempt that has just ended."""
        return None

    def product_kept(self, attempt: Attempt) -> list[int] | None:
        """The ciphertexts that trustees decrypt, where they were computed before."""
        return None

    def releasable(self, attempt: Attempt) -> bool:
        """Whether a release needs nothing more than the shares; else starts what it needs."""
        return True

    @abstractmethod
    def release(self, attempt: Attempt) -> Made:
        """Combine the shares. Raises DomainError where there can be no release."""

    @abstractmethod
    def transcript_parts(self, attempt: Attempt) -> dict[str, bytes]:
        """The transcript's parts that only this kind has, and its approvals."""

    def beside_check(self, attempt: Attempt, message: str, signed: Signed[Any]) -> None:
        """Check what travels next to a message."""
        return None

    # An attempt's inbox and retention.

    @abstractmethod
    def retention_days(self) -> int:
        """Days that ciphertexts are kept after the end."""

    def judged_by(self, organization: str) -> Q:
        """Which released attempts ask an organization for its verdict (``Kind.judges``)."""
        return Q()

    def remains(self, message: type[Message], content: bytes) -> Message | None:
        """What stays of a message whose retention is over, besides its digest."""
        return None

    def expire_beside(self, attempt: Attempt) -> None:
        """Delete what lies next to an attempt's messages. Before the claim, safe to repeat."""
        return None


_played: dict[str, Played] = {}


def play(kind: Kind, played: Played) -> None:
    """Register how a kind is played, once, at start-up."""
    _played[kind.name] = played


def played_of(kind: str) -> Played:
    """How the kind of that name is played. Raises KeyError for one that no app registered."""
    return _played[kind]


def all_played() -> dict[Played, list[str]]:
    """Each ``Played`` with the names of its kinds."""
    kinds: dict[Played, list[str]] = {}
    for name, played in _played.items():
        kinds.setdefault(played, []).append(name)
    return kinds


def kinds_of(played: Played) -> list[str]:
    """The names of the kinds that are played so."""
    return all_played()[played]
