"""The values that an auditor's report shows.

Each row has the leaf that it rests on. Digests are whole, so that they can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from apps.audit.reports.values import Balance, LogHead, Statistic, TagCount
from apps.console.shared.events import AnchorRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """Where a row is in its log; ``url`` is its event's page, empty where the reader has none."""

    log: str
    index: int | None
    covered: bool
    """Whether the checkpoint that the report stands on covers it."""
    intact: bool
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A job, campaign or other thing that rows are about; ``url`` is its own report's."""

    kind: str
    id: str
    title: str = ""
    by: str = ""
    state: str = ""
    reason: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    what: str
    tag: str
    subject: Subject
    at: datetime
    leaf: Leaf | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow(Row):
    organization: str
    person: str
    key: str
    digest: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRow(Row):
    organization: str
    own: bool
    account: str
    rho: float
    epsilon: float | None
    delta: float | None
    states: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeRow(Row):
    account: str
    rho: float
    epsilon: float | None
    delta: float | None
    cohort: str
    missing: str
    """Where the ledger as reported does not hold it: ``awaited`` of a report older than the
    receipt, ``lacking`` of a newer one; empty where it does."""
    balance: Balance | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow(Row):
    release: str
    state: str
    cohort: str
    members: int
    rho: float | None
    verdicts: str
    disagrees: bool
    statistics: list[Statistic] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRow(Row):
    organization: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow(Row):
    actor: str
    details: list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRow:
    kind: str
    subject: Subject
    where: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPage:
    kind: str
    organization: str
    """Its name; empty for an operator's report."""
    title: str
    made_at: datetime
    heads: list[LogHead]
    anchor: AnchorRow | None
    anchoring: str
    start: datetime | None
    end: datetime | None
    running: bool
    """Whether the period has not ended."""
    cut_at: datetime | None
    most: int
    subjects: list[Subject]
    decisions: list[DecisionRow]
    reservations: list[ReservationRow]
    charges: list[ChargeRow]
    releases: list[ReleaseRow]
    failures: list[FailureRow]
    changes: list[ChangeRow]
    differences: list[DifferenceRow]
    counts: list[TagCount]
    ledger_report: str
    reported_at: datetime | None
    commands: str

    @property
    def whole(self) -> Subject | None:
        """What a report of one job or campaign is of."""
        return self.subjects[0] if self.kind != "period" and self.subjects else None

    @property
    def approvals(self) -> int:
        return len(self.reservations)

    @property
    def events(self) -> int:
        return sum(count.count for count in self.counts)

    @property
    def altered(self) -> int:
        """Rows whose event no longer has the hash in the tree."""
        every: list[Row] = [*self.decisions, *self.reservations, *self.charges, *self.releases]
        every += [*self.failures, *self.changes]
        return sum(row.leaf is not None and not row.leaf.intact for row in every)
