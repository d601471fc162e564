"""What a person writes to make a campaign; the portal adds keys, grid, split and identifiers."""

from __future__ import annotations

from typing import Annotated, Literal

from django.conf import settings
from django.utils import timezone
from pydantic import Field

from apps.benchmarks.cron import schedule_parse
from apps.keys.selectors import key_epoch_current, roster
from federated.errors import InvalidInput
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_propose import (
    DEFAULT_STATISTICS,
    MetricDraft,
    campaign_make,
)
from federated.wire.base import Message, Name, Slug
from federated.wire.campaign import CampaignSpec, MetricKey, Statistic, Unit
from federated.wire.job import Finite, Participant

KNOWN: dict[str, tuple[str, float, float, Literal["linear", "log"], Literal["lower", "higher"]]] = {
    "latency_ms": ("ms", 0.1, 100_000.0, "log", "lower"),
    "latency_p95_ms": ("ms", 0.1, 100_000.0, "log", "lower"),
    "latency_p99_ms": ("ms", 0.1, 100_000.0, "log", "lower"),
    "throughput_ops": ("ops/s", 0.01, 1_000_000.0, "log", "higher"),
    "cpu_s": ("s", 0.001, 10_000.0, "log", "lower"),
    "memory_mb": ("MB", 1.0, 1_000_000.0, "log", "lower"),
    "energy_j": ("J", 0.01, 1_000_000.0, "log", "lower"),
    "energy_estimate_j": ("J", 0.01, 1_000_000.0, "log", "lower"),
}
"""Metrics that ``federated bench run`` measures: unit, public bounds, grid, what is better."""


class DraftMetric(Message):
    """A metric by its key; a known one (KNOWN) needs no more, another its unit and bounds."""

    key: MetricKey
    unit: Unit | None = None
    lower: Finite | None = None
    upper: Finite | None = None
    grid: Literal["linear", "log"] | None = None
    points: Annotated[int, Field(ge=2, le=256)] = 64
    bins: Annotated[int, Field(ge=2, le=256)] = 16
    better: Literal["lower", "higher"] | None = None
    out_of_bounds: Literal["clamp", "refuse"] = "clamp"
    statistics: tuple[Statistic, ...] = DEFAULT_STATISTICS
    weight: Annotated[float, Field(strict=False, gt=0, le=1000)] = 1.0

    def whole(self) -> MetricDraft:
        """Raises InvalidInput where an unknown metric lacks its unit or bounds."""
        known = KNOWN.get(self.key)
        if known is None and (self.unit is None or self.lower is None or self.upper is None):
            raise InvalidInput(
                f"metrics: {self.key} needs unit, lower and upper (public facts); without them "
                f"allowed: {', '.join(KNOWN)}",
                field="metrics",
            )
        unit, lower, upper, grid, better = known or ("", 0.0, 0.0, "linear", "lower")
        # Bounds of one's own on a known metric keep its log grid only where that is possible.
        chosen_lower = lower if self.lower is None else self.lower
        if self.grid is None and not chosen_lower > 0:
            grid = "linear"
        return MetricDraft(
            key=self.key,
            unit=self.unit or unit,
            lower=chosen_lower,
            upper=upper if self.upper is None else self.upper,
            grid=self.grid or grid,
            points=self.points,
            bins=self.bins,
            better=self.better or better,
            out_of_bounds=self.out_of_bounds,
            statistics=self.statistics,
            weight=self.weight,
        )


class CampaignDraft(Message):
    """``participants`` defaults to every organization with an active site."""

    TAG = "campaign-draft"

    title: Annotated[str, Field(min_length=1, max_length=120)]
    metrics: Annotated[tuple[DraftMetric, ...], Field(min_length=1, max_length=16)]
    epsilon: Annotated[float, Field(strict=False, gt=0, le=10)] = 2.0
    delta: Annotated[float, Field(strict=False, gt=0, le=0.01)] | None = None
    noise: Literal["laplace", "gaussian"] = "laplace"
    dataset: Name = "benchmarks"
    participants: tuple[Slug, ...] | None = None
    minimum_cohort: Annotated[int, Field(ge=3)] | None = None
    schedule: Annotated[str, Field(min_length=1, max_length=80)] = "once"
    runs: Annotated[int, Field(ge=1, le=1000)] = 1
    run_seconds: Annotated[int, Field(ge=1, le=30 * 86_400)] = 86_400


def spec_of(draft: CampaignDraft, *, campaign_id: str, creator: str) -> CampaignSpec:
    """The whole spec, with present keys pinned and checked against the present key epoch.

    Raises NotFound before the first key ceremony, and InvalidInput naming the field at fault.
    """
    schedule_parse(draft.schedule)
    epoch = key_epoch_current().wire
    participants = _participants(draft.participants)
    trustees = [t.organization for t in epoch.trustees if t.organization in participants]
    if len(trustees) < epoch.threshold:
        raise InvalidInput(
            f"participants: {len(trustees)} of the key's trustees are among them; "
            f"{epoch.threshold} are needed to decrypt",
            field="participants",
        )
    spec = campaign_make(
        campaign_id=campaign_id,
        consortium=settings.FSC_CONSORTIUM,
        creator=creator,
        created_at=timezone.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        title=draft.title,
        metrics=[metric.whole() for metric in draft.metrics],
        epsilon=draft.epsilon,
        delta=draft.delta,
        noise=draft.noise,
        dataset=draft.dataset,
        participants=participants.values(),
        minimum_cohort=draft.minimum_cohort,
        schedule=draft.schedule,
        runs=draft.runs,
        run_seconds=draft.run_seconds,
        key_epoch=epoch.digest(),
    )
    CampaignAgreement(spec, epoch).check()
    return spec


def _participants(wanted: tuple[str, ...] | None) -> dict[str, Participant]:
    sites = {site.organization: site.public_key for site in roster().sites}
    names = sorted(sites) if wanted is None else sorted(set(wanted))
    unknown = [name for name in names if name not in sites]
    if unknown:
        raise InvalidInput(
            f"participants: {', '.join(unknown)} has no active site in the consortium",
            field="participants",
        )
    return {name: Participant(organization=name, public_key=sites[name]) for name in names}
