"""One summary of a benchmark in one process: what it costs, planned and spent, then drawn once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from federated.errors import BudgetExceeded, Conflict
from federated.extras import needs
from federated.privacy import curator, private_bounds
from federated.privacy.bounds import Bounds, linear_points, log_points
from federated.sdk.benchmark_metrics import Metric

if TYPE_CHECKING:
    from diffprivlib import BudgetAccountant

BOUNDS_SHARE = Fraction(1, 10)
"""The part of a metric's epsilon that private bounds spend, where they are found."""
_SLACK = 1e-9
"""What the library's sum of floats may be off by, in parts of the whole; ours is exact."""


@dataclass(frozen=True)
class Plan:
    """What one metric's release spends: exact fractions, fixed by public facts alone.

    ``search`` finds private bounds (0 where public ones hold), ``each`` is one statistic's.
    """

    metric: Metric
    statistics: tuple[str, ...]
    search: Fraction
    each: Fraction

    def charges(self) -> list[Fraction]:
        """Every draw's epsilon; their sum is the metric's share."""
        return [self.search] * (self.search > 0) + [self.each] * len(self.statistics)


def plans_of(
    metrics: Sequence[Metric], statistics: tuple[str, ...], epsilon: float, count: int
) -> tuple[Plan, ...]:
    """A plan for each metric; together they spend ``epsilon``, to the last bit.

    Raises Conflict where so few have submitted that a metric is left without bounds; nothing is
    drawn for it.
    """
    share = Fraction(epsilon) / len(metrics)
    out = []
    for metric in metrics:
        search = _search(metric, share * BOUNDS_SHARE, count)
        out.append(Plan(metric, statistics, search, (share - search) / len(statistics)))
    return tuple(out)


def _search(metric: Metric, part: Fraction, count: int) -> Fraction:
    """The epsilon to find private bounds with: ``part``, or 0 where the public bounds hold."""
    if metric.given:
        return Fraction(0)
    needed = private_bounds.numbers_needed(part)
    if count >= needed:
        return part
    if metric.bounds is None:
        raise Conflict(
            f"{metric.key}: private bounds need {needed} tenants at this epsilon, "
            f"{count} have submitted; give its public bounds"
        )
    return Fraction(0)


def spend(plans: Sequence[Plan], epsilon: float) -> BudgetAccountant:
    """Charge every draw of the plans, before the first is made.

    An accountant of this release alone, not the library's global one. Raises BudgetExceeded where
    the plans take more than ``epsilon``.
    """
    with needs("bench"):
        from diffprivlib import BudgetAccountant

    charges = [charge for plan in plans for charge in plan.charges()]
    if sum(charges, Fraction(0)) > Fraction(epsilon):
        raise BudgetExceeded(f"privacy_epsilon: the statistics take more than {epsilon:g}")
    accountant = BudgetAccountant(epsilon * (1 + _SLACK), 0.0)
    for charge in charges:
        accountant.spend(float(charge), 0.0)
    return accountant


def release(plan: Plan, values: Sequence[float]) -> dict[str, float]:
    """Draw one metric's summary. Call it once: another call is another release.

    Raises Conflict where no private bounds were found and there are no public ones.
    """
    bounds = plan.metric.bounds
    if plan.search:
        found = private_bounds.find(values, plan.search)
        bounds = bounds if found is None else Bounds(*found)
    if bounds is None:
        raise Conflict(
            f"{plan.metric.key}: its values are spread too wide for private bounds; "
            "give its public bounds to a new aggregator"
        )
    linear = plan.metric.given or bounds.lower < 0
    draws: dict[str, Callable[[], float]] = {
        "mean": lambda: curator.mean(values, bounds, plan.each),
        "median": lambda: curator.median(
            values, linear_points(bounds) if linear else log_points(bounds), plan.each
        ),
        "std": lambda: curator.std(values, bounds, plan.each),
    }
    out = {name: draws[name]() for name in plan.statistics}
    if "mean" in out:
        out["mean_margin"] = curator.mean_margin(len(values), bounds, plan.each)
    out |= {"lower": bounds.lower, "upper": bounds.upper, "bounds_epsilon": float(plan.search)}
    return out | {"count": len(values)}
