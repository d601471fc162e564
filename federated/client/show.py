"""The site's own numbers as tables for people."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from federated.client.ledger import Ledger
from federated.wire.site import LedgerReport

BAR = 30


def ledger_tables(ledger: Ledger, report: LedgerReport) -> list[Table]:
    """Accounts with what is spent, reserved and left, and every charge."""
    accounts = Table(title=f"Privacy accounts of {report.organization}")
    for column in ("data set", "unit", "allotted", "spent", "reserved rho", "lifetime", "period"):
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
            account.period,
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
    return [accounts, charges]


def curve_table(job_id: str, points: list[dict[str, Any]]) -> Table:
    """Held-out AUC by round; an AUC of one class alone is undefined and said so."""
    table = Table(title=f"Job {job_id[:8]}: held-out AUC, known to this site alone")
    for column in ("round", "AUC", "rows", ""):
        table.add_column(column, overflow="fold")
    for point in points:
        value = point["auc"]
        shown = "undefined (one class)" if value is None else f"{value:.3f}"
        bar = "" if value is None else "█" * round(BAR * value)
        table.add_row(str(point["round"]), shown, str(point["rows"]), bar)
    return table
