"""Reading the site's ledger: sums by account and period, and the report of the whole."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime

from federated.privacy.accountant import Spent
from federated.wire.job import Cost
from federated.wire.site import (
    Account,
    Allotment,
    AllotmentAnswer,
    AllotmentChange,
    Charge,
    LedgerReport,
)


def stamp(moment: datetime) -> str:
    """UTC in a fixed width, so that text compares as time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def period_start(period: str, now: datetime) -> str:
    """When the calendar period (UTC) that ``now`` lies in began; empty for a lifetime."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "month":
            return stamp(first)
        case "quarter":
            return stamp(first.replace(month=first.month - (first.month - 1) % 3))
        case "year":
            return stamp(first.replace(month=1))
        case _:
            return ""


def period_end(period: str, now: datetime) -> datetime | None:
    """When the calendar period (UTC) that ``now`` lies in ends; None for a lifetime."""
    text = period_start(period, now)
    if not text:
        return None
    start = datetime.fromisoformat(text.replace("Z", "+00:00"))
    after = start.month - 1 + {"month": 1, "quarter": 3, "year": 12}[period]
    return start.replace(year=start.year + after // 12, month=after % 12 + 1)


def period_renewal(period: str, now: datetime) -> str:
    """For messages: when an allotment begins anew."""
    end = period_end(period, now)
    return "; it never renews" if end is None else f"; it renews on {end:%Y-%m-%d}"


def spent_of(db: sqlite3.Connection, dataset: str, unit: str, state: str, since: str) -> Spent:
    """The sums of an account's charges in one state, made since a stamp."""
    rows = db.execute(
        "SELECT charge.rho, job.epsilon FROM charge JOIN job USING (job_id) WHERE dataset = ?"
        " AND unit = ? AND state = ? AND charge.at >= ?",
        (dataset, unit, state, since),
    ).fetchall()
    pure = [row for row in rows if row["epsilon"] > 0]
    return Spent(
        math.fsum(row["rho"] for row in rows),
        math.fsum(row["rho"] for row in pure),
        math.fsum(row["epsilon"] for row in pure),
    )


@dataclass(frozen=True, slots=True)
class Outlook:
    """Epsilons at the allotment's delta: a cost alone, what is left now, what would be after."""

    allotment: Allotment
    alone: float
    left: float
    after: float


def outlook_of(db: sqlite3.Connection, cost: Cost, allotment: Allotment, now: datetime) -> Outlook:
    """What a cost would take of its account and leave in the period that ``now`` lies in."""
    start = period_start(allotment.period, now)
    used = spent_of(db, cost.dataset, cost.unit, "reserved", "")
    used += spent_of(db, cost.dataset, cost.unit, "committed", start)
    asked, total = Spent(cost.rho), allotment.epsilon
    return Outlook(
        allotment,
        asked.epsilon(allotment.delta),
        total - used.epsilon(allotment.delta),
        total - (used + asked).epsilon(allotment.delta),
    )


def report_of(
    db: sqlite3.Connection,
    organization: str,
    now: datetime,
    *,
    changes: tuple[AllotmentChange, ...],
    answers: tuple[AllotmentAnswer, ...],
) -> LedgerReport:
    """Accounts with the sums of the period that ``now`` lies in, and every charge."""
    sequence = db.execute("SELECT value FROM sequence").fetchone()["value"]
    accounts = db.execute("SELECT * FROM account ORDER BY dataset, unit").fetchall()
    charges = db.execute(
        "SELECT charge.*, job.dataset, job.unit, job.epsilon FROM charge JOIN job USING (job_id)"
        " ORDER BY job.at, job_id, round, attempt"
    ).fetchall()
    return LedgerReport(
        organization=organization,
        sequence=sequence,
        accounts=tuple(_account(db, row, now) for row in accounts),
        charges=tuple(_charge(row) for row in charges),
        changes=changes,
        answers=answers,
    )


def _account(db: sqlite3.Connection, row: sqlite3.Row, now: datetime) -> Account:
    start = period_start(row["period"], now)
    committed = spent_of(db, row["dataset"], row["unit"], "committed", start)
    reserved = spent_of(db, row["dataset"], row["unit"], "reserved", "")
    both = committed + reserved
    return Account(
        dataset=row["dataset"],
        unit=row["unit"],
        allotted_epsilon=row["epsilon"],
        allotted_delta=row["delta"],
        period=row["period"],
        max_queries=row["max_queries"],
        reserved_rho=reserved.rho,
        committed_rho=committed.rho,
        spent_epsilon=committed.epsilon(row["delta"]),
        pure_rho=both.pure_rho,
        pure_epsilon=both.pure_epsilon,
    )


def _charge(row: sqlite3.Row) -> Charge:
    return Charge(
        id=row["id"],
        job_id=row["job_id"],
        round=row["round"],
        attempt=row["attempt"],
        dataset=row["dataset"],
        unit=row["unit"],
        rho=row["rho"],
        state=row["state"],
        cohort=row["cohort"],
        at=row["at"],
        pure_epsilon=row["epsilon"],
    )
