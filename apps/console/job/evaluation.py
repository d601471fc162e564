"""Joint evaluations on the pages of the job that evaluates and of the job that trained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.console.shared.box_charts import BoxChart, interval_chart
from apps.training.models import Job
from apps.training.selectors.evaluations import evaluation_members, evaluation_result
from apps.training.selectors.evaluations import evaluations_of as evaluations_known
from federated.training.estimates import Estimate
from federated.training.joint import JointResult
from federated.wire.job import Evaluation

NAMES = {"auc": "AUC", "mean_absolute_error": "mean absolute error"}


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


def evaluation_panel(job: Job) -> EvaluationPanel | None:
    """The results that an evaluation released; None for a training, or before."""
    result = evaluation_result(job)
    if result is None:
        return None
    binary = result.kind == "binary"
    shares = {
        _name(name): one for name, one in result.metrics.items() if name != "mean_absolute_error"
    }
    return EvaluationPanel(
        members=evaluation_members(job),
        metrics=[_row(_name(name), one) for name, one in result.metrics.items()],
        records=[_row(name, one, digits=0) for name, one in result.classes.items()],
        bins=[
            BinRow(
                range=f"{one.lower:.3g} to {one.upper:.3g}",
                records=_row("records", one.records, digits=0),
                share=_row("share", one.share),
            )
            for one in result.bins
        ],
        bins_heading="Calibration" if binary else "Errors",
        share_heading="Positive" if binary else "Within",
        chart=interval_chart(shares, upper=1.0) if shares else None,
        noise=result.noise,
    )


def evaluation_rows(job: Job, *, organization: str) -> list[EvaluationRow]:
    """The evaluations of a model that the organization takes part in."""
    if isinstance(job.wire.strategy, Evaluation):
        return []
    return [
        EvaluationRow(
            id=str(one.pk),
            state=one.state,
            proposer=one.proposer,
            created_at=one.created_at,
            headline=_headline(evaluation_result(one)),
        )
        for one in evaluations_known(job, organization=organization)
    ]


def _headline(result: JointResult | None) -> str:
    if result is None:
        return ""
    name, one = next(iter(result.metrics.items()))
    row = _row(_name(name), one)
    return f"{row.label} {row.value} ({row.interval})"


def _name(name: str) -> str:
    return NAMES.get(name, name)


def _row(label: str, one: Estimate, *, digits: int = 3) -> EstimateRow:
    return EstimateRow(
        label=label,
        value="undetermined" if one.value is None else f"{one.value:.{digits}f}",
        interval=f"{one.low:.{digits}f} to {one.high:.{digits}f}",
    )
