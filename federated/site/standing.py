"""Where a site stands in a release: computed from its own folder, and told to nobody.

The site's exact value beside noisy statistics of its cohort would, if it were sent, single it out;
so this module reads two files and makes no request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from federated.errors import NotFound
from federated.site.campaign_folder import CampaignFolder
from federated.wire.campaign import QUANTILES, Estimate, Metric, MetricRelease


@dataclass(frozen=True)
class Standing:
    """One metric of one run. Shares are of the cohort, from 0 to 1.

    ``ahead`` is the share that this site does better than, between ``ahead_least`` and
    ``ahead_most`` as the quantiles' 95% intervals allow; None without quantiles.
    """

    run: int
    key: str
    unit: str
    better: str
    value: float
    count: int
    illustrative: bool
    statistics: dict[str, Estimate]
    ahead: float | None
    ahead_least: float | None
    ahead_most: float | None


def standings(folder: CampaignFolder, number: int | None = None) -> list[Standing]:
    """Of the newest run that this site took part in and verified, or of run ``number``.

    Raises NotFound where there is none.
    """
    numbers = [number] if number is not None else sorted(folder.runs(), reverse=True)
    for each in numbers:
        run = folder.run(each)
        release, measured, spec = run.release(), run.measured(), run.spec()
        if release is None or measured is None or spec is None:
            continue
        return [
            _standing(each, metric, measured.values[metric.key].value, found, release.count)
            for metric, found in zip(spec.metrics, release.metrics, strict=True)
        ]
    raise NotFound("no release of a run that this site took part in is kept here yet")


def _standing(
    run: int, metric: Metric, value: float, released: MetricRelease, count: int
) -> Standing:
    clamped = min(max(value, metric.lower), metric.upper)
    quantiles = sorted(
        (QUANTILES[name], estimate)
        for name, estimate in released.statistics.items()
        if name in QUANTILES
    )
    ahead = least = most = None
    if quantiles:
        # Low quantiles put many below a value, high ones few.
        below = [
            _share_below(clamped, [(getattr(e, end), p) for p, e in quantiles], metric)
            for end in ("value", "upper", "lower")
        ]
        if metric.better == "higher":
            ahead, least, most = below
        else:
            ahead, least, most = 1 - below[0], 1 - below[2], 1 - below[1]
    return Standing(
        run=run,
        key=metric.key,
        unit=metric.unit,
        better=metric.better,
        value=value,
        count=count,
        illustrative=released.illustrative,
        statistics={str(name): estimate for name, estimate in released.statistics.items()},
        ahead=ahead,
        ahead_least=least,
        ahead_most=most,
    )


def _share_below(value: float, knots: Sequence[tuple[float, float]], metric: Metric) -> float:
    """The share of the cohort below ``value``: linear between the quantiles and the bounds."""
    points = [(float(metric.lower), 0.0), *knots, (float(metric.upper), 1.0)]
    share = 0.0
    for (x0, p0), (x1, p1) in pairwise(points):
        if value >= x1:
            share = max(share, p1)
        elif value > x0 and x1 > x0:
            share = max(share, p0 + (p1 - p0) * (value - x0) / (x1 - x0))
    return share
