"""Making a campaign's spec: pin the keys, split the privacy over metrics and statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from federated.errors import InvalidInput
from federated.privacy import accountant
from federated.protocol.propose import default_minimum_cohort
from federated.wire.campaign import CampaignNoise, CampaignSpec, Statistic, sums_needed
from federated.wire.job import Participant

DEFAULT_STATISTICS: tuple[Statistic, ...] = ("mean", "std", "median", "p10", "p25", "p75", "p90")
# Slack for what rounding a Gaussian share's sigma up and its distance to a Gaussian cost.
_GAUSSIAN_MARGIN = 1e-3


@dataclass(frozen=True, kw_only=True)
class MetricDraft:
    """A metric before its share of the privacy is known; fields as in Metric and Grid."""

    key: str
    unit: str
    lower: float
    upper: float
    grid: str = "linear"
    points: int = 64
    bins: int = 16
    better: str = "lower"
    out_of_bounds: str = "clamp"
    statistics: Sequence[str] = field(default=DEFAULT_STATISTICS)
    weight: float = 1.0


def campaign_make(
    *,
    campaign_id: str,
    consortium: str,
    creator: str,
    created_at: str,
    title: str,
    metrics: Sequence[MetricDraft],
    epsilon: float,
    participants: Iterable[Participant],
    key_epoch: str,
    delta: float | None = None,
    noise: str = "laplace",
    dataset: str = "benchmarks",
    minimum_cohort: int | None = None,
    schedule: str = "once",
    runs: int = 1,
    run_seconds: int = 86_400,
) -> CampaignSpec:
    """A whole campaign spec; ``epsilon`` is of one run, split by the metrics' weights.

    Within a metric each sum that its statistics need takes an even part. Raises InvalidInput that
    names the field.
    """
    ordered = sorted(participants, key=lambda participant: participant.organization)
    CampaignNoise.parse({"kind": noise, "epsilon": epsilon, "delta": delta})
    whole = epsilon
    if noise == "gaussian":
        assert delta is not None  # CampaignNoise has checked it
        whole = accountant.epsilon_to_rho(epsilon, delta) * (1 - _GAUSSIAN_MARGIN)
    if minimum_cohort is None:
        minimum_cohort = default_minimum_cohort(len(ordered), 1)
    return CampaignSpec.parse(
        {
            "campaign_id": campaign_id,
            "consortium": consortium,
            "creator": creator,
            "created_at": created_at,
            "title": title,
            "metrics": _split(metrics, whole),
            "noise": {"kind": noise, "epsilon": epsilon, "delta": delta},
            "dataset": dataset,
            "participants": [participant.dump() for participant in ordered],
            "minimum_cohort": minimum_cohort,
            "schedule": schedule,
            "runs": runs,
            "run_seconds": run_seconds,
            "key_epoch": key_epoch,
        }
    )


def _split(drafts: Sequence[MetricDraft], whole: float) -> list[dict[str, Any]]:
    if any(not 0 < draft.weight < math.inf for draft in drafts):
        raise InvalidInput("metrics: every weight must be above 0 and finite")
    weights = sum(Fraction(draft.weight) for draft in drafts)
    metrics = []
    for draft in drafts:
        sums = sums_needed(draft.statistics)
        share = Fraction(whole) * Fraction(draft.weight) / weights / max(1, sum(sums.values()))
        part = _rounded_down(share)
        metrics.append(
            {
                "key": draft.key,
                "unit": draft.unit,
                "lower": draft.lower,
                "upper": draft.upper,
                "grid": {"kind": draft.grid, "points": draft.points, "bins": draft.bins},
                "better": draft.better,
                "out_of_bounds": draft.out_of_bounds,
                "statistics": list(draft.statistics),
                "split": {name: part if needed else 0.0 for name, needed in sums.items()},
            }
        )
    return metrics


def _rounded_down(share: Fraction) -> float:
    """A float of nine decimals that is not above, so that parts never add up to more than a whole.

    The float nearest to 0.2 is above a fifth: five of them would be more than 1.
    """
    billionths = math.floor(share * 10**9)
    part = billionths / 10**9
    return part if Fraction(part) <= share else (billionths - 1) / 10**9
