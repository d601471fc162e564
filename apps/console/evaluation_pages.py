"""What a job's page shows of joint evaluations, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.console.box_charts import BoxChart


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimateRow:
    """One value with its 95% interval, written out; ``value`` is "undetermined" where
    the noise leaves every value possible."""

    label: str
    value: str
    interval: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BinRow:
    """A bin of scores or errors: its records, and what share is positive or within its end."""

    range: str
    records: EstimateRow
    share: EstimateRow


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPanel:
    """The results of a joint evaluation."""

    members: list[str]
    metrics: list[EstimateRow]
    records: list[EstimateRow]
    bins: list[BinRow]
    bins_heading: str
    share_heading: str
    chart: BoxChart | None
    noise: float
    """Standard deviation of a cell's noise, in records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow:
    """A joint evaluation of the page's model."""

    id: str
    state: str
    proposer: str
    created_at: datetime
    headline: str
