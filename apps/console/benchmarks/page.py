"""The values that the benchmark pages show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.console.shared.box_charts import BoxChart, HistoryChart
from apps.console.shared.campaigns import CampaignRow
from apps.console.shared.events import EventRow


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarksPage:
    name: str
    slug: str
    campaigns: list[CampaignRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    number: int
    state: str
    reason: str
    members: int
    opened_at: datetime
    deadline: datetime | None
    released_at: datetime | None
    expired_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPanel:
    """``std`` is (value, lower, upper), in the unit."""

    key: str
    unit: str
    better: str
    lower: float
    upper: float
    illustrative: bool
    chart: BoxChart | None
    std: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    """``virtual`` of the ``count`` organizations are simulated."""

    run: int
    count: int
    virtual: int
    released_at: datetime | None
    metrics: list[MetricPanel]

    @property
    def illustrative(self) -> bool:
        return any(metric.illustrative for metric in self.metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPanel:
    what: str
    chart: HistoryChart


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPage:
    row: CampaignRow
    slug: str
    delta: float | None
    noise: str
    dataset: str
    minimum_cohort: int
    run_seconds: int
    spec_digest: str
    approved: int
    invited: int
    virtual: int
    own_state: str
    own_reason: str
    asked: bool
    may_approve: bool
    declined: list[tuple[str, str]]
    latest: ReleaseRow | None
    history: list[HistoryPanel]
    runs: list[RunRow]
    events: list[EventRow]
    log_note: str
