"""The values that a job's page shows.

Times are aware datetimes, durations seconds, epsilons at the job's own delta.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from apps.console.job.evaluation import EvaluationPanel, EvaluationRow
from apps.console.shared.charts import Part, StepChart
from apps.console.shared.events import EventRow

#: Cohorts up to this size are drawn, larger ones are only counted.
DOTS_AT_MOST = 10

#: Opening to close, close to the last charge, last charge to the release.
PHASES = (("collecting", 1), ("charging", 2), ("decrypting", 3))


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
    def reason_tone(self) -> str:
        if self.state in ("failed", "declined"):
            return "bad"
        return "" if self.over else "warn"

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
