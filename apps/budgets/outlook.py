"""An account over its period: what its charges compose to, and when it is used up at this rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from apps.budgets.models import Account, Charge
from federated.privacy.accountant import Spent, epsilon_to_rho
from federated.privacy.composition import (
    GaussianCharge,
    PrivacyCharge,
    PureCharge,
    compare,
    gaussian_epsilon,
    pld_epsilon,
)
from federated.site.ledger_report import period_start

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


class Made(NamedTuple):
    """A committed charge: when, its rho, and its epsilon where it is pure."""

    at: datetime
    rho: float
    pure_epsilon: float = 0.0

    @property
    def spent(self) -> Spent:
        return Spent(self.rho, self.rho if self.pure_epsilon > 0 else 0.0, self.pure_epsilon)


def charges_of_period(account: Account, charges: Iterable[Charge], now: datetime) -> list[Made]:
    """The charges committed in the present period, in order."""
    start, _ = period_of(account, now)
    made = [Made(_moment(c.at), c.rho, c.pure_epsilon) for c in charges if c.state == "committed"]
    return sorted(one for one in made if start is None or one.at >= start)


def spent_by(made: Iterable[Made]) -> Spent:
    """What charges add up to, as the site's ledger adds."""
    return sum((one.spent for one in made), Spent())


def spent_ever(charges: Iterable[Charge]) -> Spent:
    """Of all periods."""
    return spent_by(
        Made(_moment(c.at), c.rho, c.pure_epsilon) for c in charges if c.state == "committed"
    )


def composed(account: Account, made: Sequence[Made]) -> list[Point]:
    """Epsilon after each charge; charges of one moment are one point."""
    totals: dict[datetime, Spent] = {}
    total = Spent()
    for one in made:
        total += one.spent
        totals[one.at] = total
    delta = account.allotted_delta
    if total.pure_epsilon > 0:
        # A pure mechanism is no Gaussian of its rho: each point from the charges themselves.
        return [
            Point(at, spent.epsilon(delta), pld_epsilon(_costs(made, until=at), delta))
            for at, spent in totals.items()
        ]
    return [
        Point(at, spent.epsilon(delta), gaussian_epsilon(spent.rho, delta))
        for at, spent in totals.items()
    ]


def _costs(made: Sequence[Made], until: datetime | None = None) -> list[PrivacyCharge]:
    counts = Counter(
        (one.rho, one.pure_epsilon) for one in made if until is None or one.at <= until
    )
    return [
        PureCharge(pure, count) if pure > 0 else GaussianCharge(rho, count)
        for (rho, pure), count in counts.items()
    ]


def composition(account: Account, made: Sequence[Made]) -> dict[str, float]:
    """Epsilon of the period's charges by five rules of composition (federated.privacy).

    ``zcdp`` is the ledger's: where pure charges added to the rest in zCDP say less, that.
    """
    rules = compare(_costs(made), account.allotted_delta)
    return rules | {"zcdp": spent_by(made).epsilon(account.allotted_delta)}


def used_up_at(account: Account, made: Sequence[Made], now: datetime) -> datetime | None:
    """When what is left is spent at the rate since the period's first charge.

    What is reserved is counted as spent. None where there is no rate yet, or where the period ends
    first: then it starts anew.
    """
    if not made or now - made[0].at < LEAST_HISTORY:
        return None
    spent = spent_by(made)
    used = Spent(spent.rho + account.reserved_rho, account.pure_rho, account.pure_epsilon)
    if account.pure_epsilon > 0:
        # Pure charges add up in epsilon, so that is what has a rate.
        so_far = spent.epsilon(account.allotted_delta)
        left = account.allotted_epsilon - used.epsilon(account.allotted_delta)
    else:
        so_far = spent.rho
        left = epsilon_to_rho(account.allotted_epsilon, account.allotted_delta) - used.rho
    rate = so_far / (now - made[0].at).total_seconds()
    seconds = max(left, 0.0) / rate
    _, end = period_of(account, now)
    if seconds > 100 * 365 * 86_400 or (end and now + timedelta(seconds=seconds) >= end):
        return None
    return now + timedelta(seconds=seconds)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
