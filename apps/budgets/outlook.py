"""An account over its period: what its charges compose to, and when it is used up at this rate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apps.budgets.models import Account, Charge
from federated.client.ledger_report import period_start
from federated.privacy.accountant import epsilon_to_rho, rho_to_epsilon
from federated.privacy.composition import GaussianCharge, compare, gaussian_epsilon

LEAST_HISTORY = timedelta(hours=1)
"""A rate over less than this is none."""


@dataclass(frozen=True, slots=True)
class Point:
    """Epsilon at the account's delta after a charge, by the ledger's rule and by the tightest."""

    at: datetime
    zcdp: float
    pld: float


def period_of(account: Account, now: datetime) -> tuple[datetime | None, datetime | None]:
    """When the account's present period began and ends; None, None for a lifetime."""
    text = period_start(account.period, now)
    if not text:
        return None, None
    start = _moment(text)
    months = {"month": 1, "quarter": 3, "year": 12}[account.period]
    after = start.month - 1 + months
    return start, start.replace(year=start.year + after // 12, month=after % 12 + 1)


def charges_of_period(
    account: Account, charges: Iterable[Charge], now: datetime
) -> list[tuple[datetime, float]]:
    """``(when, rho)`` of the charges committed in the present period, in order."""
    start, _ = period_of(account, now)
    made = [(_moment(c.at), c.rho) for c in charges if c.state == "committed"]
    return sorted(one for one in made if start is None or one[0] >= start)


def composed(account: Account, made: Sequence[tuple[datetime, float]]) -> list[Point]:
    """Epsilon after each charge; charges of one moment are one point."""
    totals: dict[datetime, float] = {}
    total = 0.0
    for at, rho in made:
        total += rho
        totals[at] = total
    delta = account.allotted_delta
    return [
        Point(at, rho_to_epsilon(rho, delta), gaussian_epsilon(rho, delta))
        for at, rho in totals.items()
    ]


def composition(account: Account, made: Sequence[tuple[datetime, float]]) -> dict[str, float]:
    """Epsilon of the period's charges by five rules of composition (federated.privacy)."""
    counts = Counter(rho for _, rho in made)
    charges = [GaussianCharge(rho, count) for rho, count in counts.items()]
    return compare(charges, account.allotted_delta)


def used_up_at(
    account: Account, made: Sequence[tuple[datetime, float]], now: datetime
) -> datetime | None:
    """When what is left is spent at the rate since the period's first charge.

    What is reserved is counted as spent. None where there is no rate yet, or where the period ends
    first: then it starts anew.
    """
    if not made or now - made[0][0] < LEAST_HISTORY:
        return None
    spent = math.fsum(rho for _, rho in made)
    rate = spent / (now - made[0][0]).total_seconds()
    left = epsilon_to_rho(account.allotted_epsilon, account.allotted_delta)
    left -= spent + account.reserved_rho
    seconds = max(left, 0.0) / rate
    _, end = period_of(account, now)
    if seconds > 100 * 365 * 86_400 or (end and now + timedelta(seconds=seconds) >= end):
        return None
    return now + timedelta(seconds=seconds)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
