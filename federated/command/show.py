"""The site's own numbers as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from federated.site.ledger import Ledger
from federated.wire.site import AllotmentChange, LedgerReport

if TYPE_CHECKING:
    from federated.protocol.joint_evaluation import JointEvaluation

BAR = 30
METRICS = {"auc": "AUC", "accuracy": "accuracy", "macro_auc": "macro AUC", "r2": "R2"}


def ledger_tables(ledger: Ledger, report: LedgerReport) -> list[Table]:
    """Accounts with what is spent, reserved and left, and every charge."""
    accounts = Table(title=f"Privacy accounts of {report.organization}")
    for column in (
        "data set",
        "unit",
        "allotted",
        "spent",
        "reserved rho",
        "lifetime",
        "period",
    ):
        accounts.add_column(column, overflow="fold")
    for account in report.accounts:
        lifetime = ledger.lifetime_epsilon(account.dataset, account.unit, account.allotted_delta)
        accounts.add_row(
            account.dataset,
            account.unit,
            f"epsilon {account.allotted_epsilon:g} at {account.allotted_delta:g}",
            f"{account.spent_epsilon:.3f}",
            f"{account.reserved_rho:.4f}",
            f"{lifetime:.3f}",
            f"{account.period}, {account.max_queries} jobs of a proposer",
        )
    charges = Table(title="Charges")
    for column in ("job", "round", "attempt", "rho", "state", "cohort", "at"):
        charges.add_column(column, overflow="fold")
    for charge in report.charges:
        charges.add_row(
            charge.job_id[:8],
            str(charge.round),
            str(charge.attempt),
            f"{charge.rho:.5f}",
            charge.state,
            (charge.cohort or "")[:12],
            charge.at[:19],
        )
    return [accounts, *_history(report), charges]


def _history(report: LedgerReport) -> list[Table]:
    """How allotments changed and what waits for a person here; nothing before the first change."""
    changes = Table(title="Allotments")
    for column in ("data set", "change", "why", "by", "at"):
        changes.add_column(column, overflow="fold")
    for change in report.changes:
        row = (change.dataset, _moved(change), change.reason, change.by, change.at[:19])
        changes.add_row(*map(Text, row))
    waiting = sum(answer.state == "waiting" for answer in report.answers)
    if waiting:
        changes.caption = f"{waiting} asked in the portal: federated ledger requests"
    return [changes] if report.changes or waiting else []


def _moved(change: AllotmentChange) -> str:
    """The fields that differ, as ``name before → after``."""
    before = {} if change.before is None else change.before.dump()
    names = {"max_queries_per_tenant": "jobs of a proposer"}
    return ", ".join(
        f"{names.get(name, name)} "
        + (f"{_plain(before[name])} → " if name in before else "")
        + _plain(value)
        for name, value in change.after.dump().items()
        if before.get(name) != value
    )


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def curve_table(job_id: str, points: list[dict[str, Any]]) -> Table:
    """Held-out metrics by round; one that the rows leave undefined is said to be so.

    A bar shows the first metric that lies between 0 and 1 (AUC, accuracy, R2).
    """
    table = Table(title=f"Job {job_id[:8]}: held-out metrics, known to this site alone")
    names = [name for name in (points[0] if points else ()) if name not in ("round", "rows")]
    for column in ("round", *(METRICS.get(name, name) for name in names), "rows", ""):
        table.add_column(column, overflow="fold")
    barred = next((name for name in names if name in METRICS), "")
    for point in points:
        values = [point.get(name) for name in names]
        shown = ["undefined" if value is None else f"{value:.3f}" for value in values]
        share = point.get(barred) or 0.0
        bar = "█" * round(BAR * min(1.0, max(0.0, share)))
        table.add_row(str(point["round"]), *shown, str(point["rows"]), bar)
    return table


def comparison_table(job_id: str, comparison: dict[str, Any]) -> Table:
    """Alone, federated and their difference on this site's held-out rows."""
    from federated.site.comparison import differences, verdict

    table = Table(
        title=f"Job {job_id[:8]}: known to this site alone",
        caption=(
            f"{comparison['held_out_rows']} held-out rows; alone: the same steps on this site's "
            f"{comparison['training_rows']} training rows, without noise; "
            "difference with 95% interval (bootstrap of the rows)"
        ),
    )
    for column in ("metric", "alone", "federated", "difference", ""):
        table.add_column(column)
    for name, one in differences(comparison).items():
        shown = f"{one.difference:+.3f}" if one.difference is not None else "undefined"
        if one.low is not None and one.high is not None:
            shown += f" ({one.low:+.3f} to {one.high:+.3f})"
        elif one.difference is None:
            shown += " (one class)"
        table.add_row(
            METRICS.get(name, name),
            _number(one.alone),
            _number(one.federated),
            shown,
            verdict(name, one),
        )
    return table


def evaluation_tables(evaluation: JointEvaluation) -> list[Table]:
    """A joint evaluation's metrics with their intervals, and its bins."""
    result = evaluation.result
    epsilon, delta = evaluation.epsilon["coordinator"], evaluation.spec.privacy.delta
    metrics = Table(
        title=f"Joint evaluation of job {evaluation.of_job[:8]}, {len(evaluation.members)} sites",
        caption=(
            f"95% intervals of the noise (a cell's standard deviation is {result.noise:.1f} "
            f"records), not of sampling; cost epsilon {epsilon:.3g} at delta {delta:g}"
        ),
    )
    for column in ("metric", "estimate", "95% interval"):
        metrics.add_column(column)
    for name, one in result.metrics.items():
        shown = METRICS.get(name, name.replace("_", " "))
        metrics.add_row(shown, _estimated(one.value), f"{one.low:.3f} to {one.high:.3f}")
    for name, one in result.classes.items():
        metrics.add_row(
            f"records, {name}", _estimated(one.value, 0), f"{one.low:.0f} to {one.high:.0f}"
        )
    if not result.bins:
        return [metrics]
    binary = result.kind == "binary"
    bins = Table(title="Calibration" if binary else "Absolute errors")
    for column in (
        "score" if binary else "error",
        "records",
        "positive" if binary else "within",
        "95% interval",
    ):
        bins.add_column(column)
    for each in result.bins:
        bins.add_row(
            f"{each.lower:g} to {each.upper:g}",
            _estimated(each.records.value, 0),
            _estimated(each.share.value),
            f"{each.share.low:.3f} to {each.share.high:.3f}",
        )
    return [metrics, bins]


def _estimated(value: float | None, digits: int = 3) -> str:
    return "undetermined" if value is None else f"{value:.{digits}f}"


def _number(value: float | None, digits: int = 3) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"
