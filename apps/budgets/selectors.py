"""Reads an organization's mirrored ledger, and refuses early what its site would refuse."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from django.utils import timezone
from django_tenants.utils import schema_context

from apps.budgets import outlook
from apps.budgets.models import Account, AllotmentChange, AllotmentRequest, Charge, LedgerReport
from apps.common.selectors import get_for
from federated.errors import BudgetExceeded
from federated.privacy import accountant
from federated.site.ledger_report import period_renewal, period_start, stamp
from federated.wire import site as wire
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
            "differences": [] if report is None else report.differences,
            "outlook": [_outlook(account) for account in Account.objects.all()],
            **allotments_describe(),
        }


def allotments_describe() -> dict[str, Any]:
    """The history of the organization's allotments and what was asked here, newest first."""
    return {
        "changes": [row.message for row in AllotmentChange.objects.all()],
        "requests": [request_describe(row) for row in AllotmentRequest.objects.all()],
    }


def request_describe(row: AllotmentRequest) -> dict[str, Any]:
    return {**row.message, "before": row.before, "state": row.state, "detail": row.detail}


def request_get(*, request_id: Any) -> AllotmentRequest:
    """A request of the organization under whose role this runs. Raises NotFound."""
    return get_for(AllotmentRequest.objects.all(), pk=request_id)


def requests_pending() -> list[UUID]:
    """Returns the requests that the site has not answered, oldest first; as the organization."""
    pending = AllotmentRequest.objects.filter(state=AllotmentRequest.State.PENDING)
    return list(pending.order_by("created_at").values_list("pk", flat=True))


def account_allotment(account: Account) -> wire.Allotment:
    """The mirrored allotment. Raises InvalidInput for one that a site cannot have made."""
    return wire.Allotment.parse(
        {
            "epsilon": account.allotted_epsilon,
            "delta": account.allotted_delta,
            "period": account.period,
            "max_queries_per_tenant": account.max_queries,
        }
    )


def _outlook(account: Account) -> dict[str, Any]:
    """Epsilon of the period's charges by each rule, and when the rest is spent at this rate."""
    now = timezone.now()
    charges = Charge.objects.filter(dataset=account.dataset, unit=account.unit)
    made = outlook.charges_of_period(account, charges, now)
    end = outlook.used_up_at(account, made, now)
    ever = outlook.spent_ever(charges)
    return {
        "dataset": account.dataset,
        "unit": account.unit,
        "lifetime_epsilon": ever.epsilon(account.allotted_delta),
        "epsilon": outlook.composition(account, made),
        "used_up_at": None if end is None else end.isoformat(),
    }


class Proposed(Protocol):
    """What was proposed earlier: a query of its proposer's, once a site has reserved it."""

    @property
    def created_at(self) -> datetime: ...
    @property
    def ledger_id(self) -> str:
        """The name under which sites' ledgers keep it."""


def budget_check(
    *,
    organization: str,
    cost: Cost,
    proposer: str,
    proposed: Iterable[Proposed],
    pure_epsilon: float = 0.0,
) -> None:
    """Refuse early what the organization's own ledger would refuse; the site has the last word.

    ``proposed``: what the proposer proposed before, of any kind. ``pure_epsilon``: the whole
    cost's, where it is pure. Raises BudgetExceeded that says by how much. An account that the site
    never reported is not judged here.
    """
    with schema_context(f"t_{organization}"):
        account = Account.objects.filter(dataset=cost.dataset, unit=cost.unit).first()
        if account is None:
            return
        made = _queries(account, proposed)
    if not account.allotted_epsilon or not 0 < account.allotted_delta < 1:
        raise BudgetExceeded(f"{organization} grants nothing for {cost.dataset}.")
    before, after = account_epsilons(account, cost.rho, pure_epsilon=pure_epsilon)
    over = after - account.allotted_epsilon
    if over > 0:
        raise BudgetExceeded(
            f"{cost.dataset}: epsilon would reach {after:.3f} of the {account.allotted_epsilon:g} "
            f"that {organization} grants ({before:.3f} reserved or spent): {over:.3f} too much"
            f"{period_renewal(account.period, timezone.now())}.",
            over=round(over, 6),
        )
    if made >= account.max_queries:
        raise BudgetExceeded(
            f"{cost.dataset}: {proposer} has made {made} jobs this {account.period}; "
            f"{organization} allows {account.max_queries}."
        )


def cost_outlook(cost: Cost, *, delta: float) -> dict[str, Any]:
    """Returns what a job would take of the account and leave; as the organization.

    Epsilons at the account's delta. Where the site has reported no account they are None, but for
    the cost itself, at the job's own ``delta``.
    """
    account = Account.objects.filter(dataset=cost.dataset, unit=cost.unit).first()
    if account is None:
        epsilon = accountant.rho_to_epsilon(cost.rho, delta)
        found = {"epsilon": epsilon, "delta": delta, "left": None, "left_after": None}
        return {"dataset": cost.dataset, "unit": cost.unit, **found, "allotted": None, "period": ""}
    before, after = account_epsilons(account, cost.rho)
    return {
        "dataset": cost.dataset,
        "unit": cost.unit,
        "epsilon": accountant.rho_to_epsilon(cost.rho, account.allotted_delta),
        "delta": account.allotted_delta,
        "left": max(account.allotted_epsilon - before, 0.0),
        "left_after": account.allotted_epsilon - after,
        "allotted": account.allotted_epsilon,
        "period": account.period,
    }


def account_epsilons(
    account: Account, rho: float, *, delta: float | None = None, pure_epsilon: float = 0.0
) -> tuple[float, float]:
    """Epsilon spent or reserved at ``delta`` (the account's own), now and with ``rho`` more.

    ``pure_epsilon`` is that of the additional charges, where they are pure.
    """
    used = accountant.Spent(
        account.reserved_rho + account.committed_rho, account.pure_rho, account.pure_epsilon
    )
    more = accountant.Spent(rho, rho if pure_epsilon > 0 else 0.0, pure_epsilon)
    at = delta or account.allotted_delta
    return used.epsilon(at), (used + more).epsilon(at)


def _queries(account: Account, proposed: Iterable[Proposed]) -> int:
    """How many of a proposer's agreements of this period the account was asked for, at least.

    By when each was proposed, which is before the site counts it, and by its present spec: never
    more than the site's.
    """
    start = period_start(account.period, timezone.now())
    recent = [one.ledger_id for one in proposed if stamp(one.created_at) >= start]
    found = Charge.objects.filter(
        dataset=account.dataset, unit=account.unit, job_id__in=recent
    ).order_by()
    return found.values("job_id").distinct().count()
