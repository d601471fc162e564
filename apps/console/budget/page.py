"""The values that the budget page shows; epsilons are at the account's delta."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.console.shared.accounts import AccountRow
from apps.console.shared.charts import StepChart


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseRow:
    """What one job's charges bought; ``epsilon`` is theirs alone, at the account's delta."""

    job_id: str
    title: str
    proposer: str
    committed: int
    reserved: int
    returned: int
    epsilon: float
    released: int
    model_digest: str
    at: datetime
    campaign_id: str = ""
    mechanism: str = ""
    """With its parameters; empty for a job that is not known here."""

    @property
    def charges(self) -> str:
        counts = {"charged": self.committed, "reserved": self.reserved, "returned": self.returned}
        shown = {state: n for state, n in counts.items() if n or state == "charged"}
        return ", ".join(f"{n} {state}" for state, n in shown.items())

    @property
    def known(self) -> bool:
        return bool(self.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllotmentRow:
    """A change of an allotment that the site reported; ``moved`` says what became what."""

    at: datetime
    moved: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """What an admin asked here and the site has not settled."""

    id: str
    waits: bool
    moved: str
    reason: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetAccount:
    """An account of the budget page: composition over the present period, and its purchases."""

    account: AccountRow
    chart: StepChart | None
    rules: list[tuple[str, float]]
    lifetime: float
    forecast: str
    purchases: list[PurchaseRow]
    request: RequestRow | None
    declined: str
    history: list[AllotmentRow]


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceRow:
    kind: str
    job_id: str
    where: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPage:
    name: str
    slug: str
    accounts: list[BudgetAccount]
    differences: list[DifferenceRow]
    sequence: int | None
    reported_at: datetime | None
    may_ask: bool
