"""Defines a report's values, which are all that its pages read.

A line names the log's entry that it rests on, so that it can be found and proven. Epsilons are at
the delta beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from apps.benchmarks.models import Campaign
from apps.provenance.models import Anchor
from apps.provenance.selectors import AnchoringState
from apps.training.models import Job
from federated.provenance import events as wire

LogKind = Literal["own", "consortium"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An entry of a log; ``index`` is its leaf's, None while it has none."""

    log: LogKind
    id: str
    index: int | None
    body: wire.Event
    intact: bool = True
    """False for an event whose stored bytes are not those that the log took."""

    @property
    def at(self) -> datetime:
        return self.body.time

    @property
    def subject(self) -> tuple[str, str]:
        return self.body.subject.kind, self.body.subject.id

    @property
    def where(self) -> tuple[str, int, int]:
        """Subject's id, round or run, attempt (1 for runs; 0, 0 for what is of none)."""
        data = self.body.data
        number = data.get("round", data.get("run", 0))
        attempt = data.get("attempt", 1 if "run" in data else 0)
        return self.body.subject.id, _whole(number), _whole(attempt)

    @property
    def organization(self) -> str:
        """The one that acted, or for which the portal did."""
        return str(self.body.data.get("organization") or self.body.actor.organization or "")


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """The checkpoint of a log that a report stands on, and how far others vouch for the log."""

    log: LogKind
    origin: str
    size: int
    root: str
    verifier_key: str
    signed_at: datetime
    final: int
    """Up to which size enough witnesses have cosigned; 0 for none."""
    anchored: int
    """Up to which size the newest confirmed anchor covers it; 0 for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's or site's decision on a spec; ``key`` is the signing key's fingerprint."""

    line: Line
    organization: str
    person: str
    key: str
    digest: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The cost that an approval reserved: ``rho`` in all, its ``epsilon`` at ``delta``.

    ``state`` counts the organization's own ledger entries by state; empty for others'.
    """

    line: Line
    organization: str
    own: bool
    dataset: str
    unit: str
    rho: float
    epsilon: float | None
    delta: float | None
    state: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """Epsilon spent in an account's period before and after a charge, of what was granted then."""

    before: float
    after: float
    allotted: float
    delta: float
    period: str

    @property
    def left(self) -> float:
        return max(self.allotted - self.after, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCharge:
    """A charge of the organization's own ledger. ``line`` is its receipt's, ``rho`` this one's.

    ``epsilon`` is that of the charge alone. ``state`` is the mirror's, empty where the mirror does
    not hold it; a balance needs a granted account.
    """

    line: Line | None
    subject: tuple[str, str]
    number: int
    attempt: int
    dataset: str
    unit: str
    rho: float
    epsilon: float | None
    delta: float | None
    cohort: str
    at: datetime
    state: str
    balance: Balance | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic:
    metric: str
    unit: str
    name: str
    value: float
    lower: float
    upper: float
    illustrative: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """``rho`` is what it charged each member's account; ``state`` the model's digest after it."""

    line: Line
    number: int
    attempt: int
    release: str
    state: str
    cohort: str
    members: int
    rho: float | None
    agree: int
    disagree: list[str]
    statistics: list[Statistic] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An attempt or run without a release, a site's refusal, a verdict that disagrees."""

    line: Line
    number: int
    attempt: int
    organization: str
    name: str
    """A refusal's name (federated.wire.round.Reason); empty for what has none."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A disagreement between the site's reported ledger and the receipts stored here."""

    kind: str
    job_id: str
    number: int
    attempt: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TagCount:
    """The number of events of a tag in the report's part of a log, with first and last leaf."""

    log: LogKind
    tag: str
    count: int
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``cut_at`` is where the lines end although more followed: the first moment left out."""

    kind: Literal["job", "campaign", "period"]
    organization: str
    """Empty for an operator's."""
    made_at: datetime
    heads: list[LogHead]
    anchor: Anchor | None
    anchoring: AnchoringState
    start: datetime | None
    end: datetime | None
    cut_at: datetime | None
    jobs: dict[str, Job]
    campaigns: dict[str, Campaign]
    decisions: list[Decision]
    reservations: list[Reservation]
    charges: list[OwnCharge]
    releases: list[Release]
    failures: list[Failure]
    changes: list[Line]
    differences: list[Difference]
    counts: list[TagCount]
    ledger_report: str
    """Digest of the site's newest ledger report, whose mirror the balances are from."""
    reported_at: datetime | None
