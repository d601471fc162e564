"""A budget account as pages show it."""

from __future__ import annotations

from dataclasses import dataclass

from apps.budgets.models import Account, Charge
from apps.budgets.selectors import account_epsilons
from apps.console.shared.charts import Part


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


def account_row(account: Account) -> AccountRow:
    """The account in epsilons at the account's delta, as the site adds up."""
    committed = account.spent_epsilon
    used, _ = account_epsilons(account, 0.0)
    charges = Charge.objects.filter(dataset=account.dataset, unit=account.unit)
    return AccountRow(
        dataset=account.dataset,
        unit=account.unit,
        period=account.period,
        allotted=account.allotted_epsilon,
        reserved=max(used - committed, 0.0),
        committed=committed,
        left=max(account.allotted_epsilon - used, 0.0),
        delta=account.allotted_delta,
        queries=charges.filter(state="committed").count(),
        max_queries=account.max_queries,
    )
