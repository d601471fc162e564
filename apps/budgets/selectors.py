"""What an organization's mirrored ledger says; and the early refusal that follows from it."""

from __future__ import annotations

from typing import Any

from django_tenants.utils import schema_context

from apps.budgets.models import Account, Charge, LedgerReport
from federated.errors import BudgetExceeded
from federated.privacy import accountant
from federated.wire.job import Cost


def ledger_describe(*, organization: str) -> dict[str, Any]:
    """The newest report's accounts and charges, and which report that is."""
    with schema_context(f"t_{organization}"):
        report = LedgerReport.objects.order_by("-sequence").first()
        return {
            "organization": organization,
            "sequence": None if report is None else report.sequence,
            "reported_at": None if report is None else report.created_at.isoformat(),
            "accounts": [] if report is None else report.message["body"]["accounts"],
            "charges": [] if report is None else report.message["body"]["charges"],
        }


def account_list(*, organization: str) -> list[Account]:
    with schema_context(f"t_{organization}"):
        return list(Account.objects.all())


def charge_list(*, organization: str, job_id: Any = None) -> list[Charge]:
    with schema_context(f"t_{organization}"):
        found = Charge.objects.all()
        return list(found if job_id is None else found.filter(job_id=job_id))


def budget_check(*, organization: str, cost: Cost, rounds: int) -> None:
    """Refuse early what the organization's own ledger would refuse; the site has the last word.

    Raises BudgetExceeded that says by how much. An account that the site never reported is not
    judged here.
    """
    with schema_context(f"t_{organization}"):
        account = Account.objects.filter(dataset=cost.dataset, unit=cost.unit).first()
        if account is None:
            return
        queries = Charge.objects.filter(dataset=cost.dataset, unit=cost.unit)
        used = queries.exclude(state="returned").count()
    if not account.allotted_epsilon or not 0 < account.allotted_delta < 1:
        raise BudgetExceeded(f"{organization} grants nothing for {cost.dataset}.")
    before = account.reserved_rho + account.committed_rho
    after = accountant.rho_to_epsilon(before + cost.rho, account.allotted_delta)
    over = after - account.allotted_epsilon
    if over > 0:
        spent = accountant.rho_to_epsilon(before, account.allotted_delta) if before else 0.0
        raise BudgetExceeded(
            f"{cost.dataset}: epsilon would reach {after:.3f} of the {account.allotted_epsilon:g} "
            f"that {organization} grants ({spent:.3f} reserved or spent): {over:.3f} too much.",
            over=round(over, 6),
        )
    if used + rounds > account.max_queries:
        raise BudgetExceeded(
            f"{cost.dataset}: {used} queries are charged or reserved and the job makes {rounds}; "
            f"{organization} allows {account.max_queries}."
        )
