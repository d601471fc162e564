"""Releases of many organizations, by the protocol's own votes, noise and statistics."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.attempts.models import Attempt
from apps.attempts.services.agreements import attempt_open
from apps.benchmarks.models import Campaign
from apps.benchmarks.services.campaigns import OPERATOR, campaign_create
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from federated.aggregation.vote_statistics import PERCENTILES_FROM, statistics_of
from federated.aggregation.votes import nearest_point
from federated.protocol.noise import noise_draw
from federated.wire.campaign import CampaignRelease, MetricRelease
from tests.benchmarks.world import draft

METRICS = [
    {"key": "latency_ms", "lower": 1.0, "upper": 1000.0, "points": 32, "bins": 16},
    {"key": "throughput_ops", "lower": 1.0, "upper": 100_000.0, "points": 32, "bins": 16},
]


def campaign_with_history(*, count: int = 60, runs: int = 4, **changes: Any) -> Campaign:
    """A campaign whose runs were released for ``count`` organizations, drawn by a seed."""
    options = {
        "metrics": METRICS, "epsilon": 8.0, "schedule": "0 6 * * 1", "runs": 52, "title": "Scoring"
    }  # fmt: skip
    campaign = campaign_create(
        draft=draft(**options | changes), creator=OPERATOR, actor=Actor.system("tests")
    )
    with as_coordinator():
        for number in range(1, runs + 1):
            found = attempt_open(campaign, number=number)
            release = _release(found, count, random.Random(number))
            Attempt.objects.filter(pk=found.pk).update(
                state=Attempt.State.RELEASED,
                release=release.dump(),
                cohort={"members": {"northwind": "0" * 64}},
                released_at=timezone.now() - timedelta(days=7 * (runs - number)),
            )
    return campaign


def _release(found: Attempt, count: int, rng: random.Random) -> CampaignRelease:
    spec, agreement = found.wire, found.terms
    metrics = []
    for position, metric in enumerate(spec.metrics):
        layout = agreement.layouts[position]
        center = (metric.lower * metric.upper) ** 0.5 * (1 - 0.05 * found.number)
        sums = [0] * len(layout.slots)
        for _ in range(count):
            value = min(max(rng.lognormvariate(0, 0.5) * center, metric.lower), metric.upper)
            vote = layout.points[nearest_point(metric, value)]
            sums = [a + b for a, b in zip(sums, vote, strict=True)]
        for _ in range(agreement.threshold):
            sums = [a + b for a, b in zip(sums, noise_draw(layout), strict=True)]
        metrics.append(
            MetricRelease(
                key=metric.key,
                slots=tuple(sums),
                illustrative=count < PERCENTILES_FROM,
                statistics=statistics_of(layout, sums, count=count, shares=agreement.threshold),
            )
        )
    return CampaignRelease(
        context=found.context_digest, cohort="0" * 64, count=count, metrics=tuple(metrics)
    )
