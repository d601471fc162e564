"""What each page shows, as values: the templates read these and nothing else.

Times are aware datetimes, durations seconds, epsilons at the job's own delta.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from apps.console.charts import StepChart
from apps.console.evaluation_pages import EvaluationPanel, EvaluationRow

#: ``(label, value, colour)`` of one part of a stacked bar.
Part = tuple[str, float, int]

#: An agent polls at least every second; these allow for a slow link and a restart.
ONLINE_WITHIN = timedelta(seconds=30)
AWAY_WITHIN = timedelta(minutes=30)

#: Cohorts up to this size are drawn, larger ones are only counted.
DOTS_AT_MOST = 10

#: Opening to close, close to the last charge, last charge to the release.
PHASES = (("collecting", 1), ("charging", 2), ("decrypting", 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRow:
    name: str
    organization: str
    last_seen_at: datetime | None
    fingerprint: str = ""
    certificate_until: datetime | None = None

    @property
    def presence(self) -> str:
        if self.last_seen_at is None:
            return "never seen"
        gone = timezone.now() - self.last_seen_at
        return "online" if gone <= ONLINE_WITHIN else "away" if gone <= AWAY_WITHIN else "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """A budget account: epsilons at the account's delta, as the site's ledger reports them."""

    dataset: str
    unit: str
    period: str
    allotted: float
    reserved: float
    committed: float
    left: float
    delta: float
    queries: int
    max_queries: int

    @property
    def parts(self) -> list[Part]:
        return [("committed", self.committed, 1), ("reserved", self.reserved, 2)]

    @property
    def label(self) -> str:
        return (
            f"epsilon {self.committed:.3g} committed and {self.reserved:.3g} reserved "
            f"of {self.allotted:.3g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    id: str
    title: str
    proposer: str
    state: str
    reason: str
    rounds_done: int
    rounds: int
    epsilon_spent: float
    epsilon_target: float | None
    created_at: datetime

    @property
    def progress(self) -> list[Part]:
        return [("released", self.rounds_done, 4)]

    @property
    def progress_label(self) -> str:
        return f"{self.rounds_done} of {self.rounds} rounds released"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRow:
    """An anchor in the chain or on its way there, with as many confirmations as were seen."""

    state: str
    size: int
    logs: int
    confirmations: int
    needed: int
    chain_id: int | None
    contract: str
    block: int | None
    transaction: str
    at: datetime
    attempts: int
    failing_since: datetime | None

    @property
    def confirmed(self) -> bool:
        return self.state == "confirmed"

    @property
    def pill(self) -> str:
        return "failing" if self.failing_since else self.state

    @property
    def progress(self) -> str:
        """For a table's cell."""
        if self.confirmed:
            return f"block {self.block}"
        if self.failing_since:
            return "chain does not take it"
        if self.block is None:
            return "sent" if self.state == "sent" else "waits"
        return f"{self.confirmations} of {self.needed} confirmations"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    id: str
    label: str
    tag: str
    actor: str
    at: datetime
    leaf: int | None
    checkpoint: int | None
    anchor: AnchorRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePage:
    name: str
    slug: str
    state: str
    sites: list[SiteRow]
    accounts: list[AccountRow]
    reported_at: datetime | None
    jobs: list[JobRow]
    events: list[EventRow]
    log_note: str

    @property
    def running(self) -> int:
        return sum(job.state == "running" for job in self.jobs)

    @property
    def waiting(self) -> int:
        return sum(job.state in ("proposed", "queued") for job in self.jobs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantRow:
    organization: str
    state: str
    reason: str
    key_id: str
    approval_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRow:
    organization: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRow:
    """One attempt at a round. ``cohort`` pairs every participant with whether it is in."""

    number: int
    attempt: int
    state: str
    reason: str
    cohort: list[tuple[str, bool]]
    phase_seconds: dict[str, float]
    refusals: list[RefusalRow] = field(default_factory=list)
    agree: int = 0
    disagree: list[str] = field(default_factory=list)

    @property
    def drawable(self) -> bool:
        """Whether a dot a participant still fits on the line."""
        return len(self.cohort) <= DOTS_AT_MOST

    @property
    def present(self) -> int:
        return sum(present for _, present in self.cohort)

    @property
    def cohort_label(self) -> str:
        names = [name for name, present in self.cohort if present]
        return f"in the cohort: {', '.join(names) or 'nobody yet'}"

    @property
    def phases(self) -> list[Part]:
        return [
            (f"{name} {self.phase_seconds[name]:.2f} s", self.phase_seconds[name], colour)
            for name, colour in PHASES
            if name in self.phase_seconds
        ]

    @property
    def phases_label(self) -> str:
        return ", ".join(label for label, _, _ in self.phases) or "no phase is over yet"

    @property
    def total_seconds(self) -> float | None:
        return sum(self.phase_seconds.values()) if self.phase_seconds else None

    @property
    def verdict_label(self) -> str:
        return f"{', '.join(self.disagree)}: disagrees"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What a job would take of the reader's organization, at the account's delta.

    ``left`` and ``left_after`` are None where its site has reported no account for the data set.
    """

    dataset: str
    unit: str
    epsilon: float
    delta: float
    left: float | None = None
    left_after: float | None = None
    allotted: float | None = None
    period: str = ""

    @property
    def fits(self) -> bool:
        return self.left_after is None or self.left_after >= 0

    @property
    def excess(self) -> float:
        return -(self.left_after or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    id: str
    title: str
    summary: str
    proposer: str
    state: str
    reason: str
    when: str
    retention: str
    over: bool
    rounds_planned: int
    rounds_done: int
    epsilon_target: float | None
    epsilon_coordinator: float
    epsilon_insiders: float
    delta: float | None
    high_epsilon_reason: str
    purpose: str
    warnings: list[str]
    colluding: int
    insiders: int
    minimum_cohort: int
    participants: list[ParticipantRow]
    rounds: list[RoundRow]
    chart: StepChart | None
    model_digest: str
    model_step: int
    spec_digest: str
    key_epoch: str
    events: list[EventRow]
    events_all: int
    log_note: str
    evaluation: EvaluationPanel | None
    evaluations: list[EvaluationRow]
    evaluates: str
    """The job whose model this one evaluates; empty for a training."""
    cost: CostRow | None
    may_decide: bool
    may_cancel: bool

    @property
    def abandoned(self) -> int:
        return sum(row.state == "abandoned" for row in self.rounds)

    @property
    def approved(self) -> int:
        return sum(row.state == "approved" for row in self.participants)

    @property
    def phase_legend(self) -> tuple[tuple[str, int], ...]:
        return PHASES

    @property
    def longest_seconds(self) -> float:
        return max((row.total_seconds or 0.0 for row in self.rounds), default=0.0)

    @property
    def typical_seconds(self) -> float | None:
        """The median duration of released rounds."""
        times = sorted(row.total_seconds or 0.0 for row in self.rounds if row.state == "released")
        return times[len(times) // 2] if times else None

    @property
    def bundle_name(self) -> str:
        return f"bundle-{self.id}.json"
