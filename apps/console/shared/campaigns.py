"""A campaign as a line of a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.benchmarks.models import Campaign, Run
from apps.benchmarks.selectors.campaigns import run_last
from apps.benchmarks.services.campaigns import OPERATOR

CAMPAIGNS_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRow:
    id: str
    title: str
    creator: str
    state: str
    reason: str
    metrics: list[str]
    epsilon: float
    schedule: str
    runs: int
    runs_opened: int
    next_run_at: datetime | None
    last_release: datetime | None

    @property
    def over(self) -> bool:
        return self.state in ("ended", "cancelled")


def campaign_row(campaign: Campaign) -> CampaignRow:
    spec, last = campaign.wire, run_last(campaign)
    released = campaign.runs.filter(state=Run.State.RELEASED).order_by("-number").first()
    return CampaignRow(
        id=str(campaign.pk),
        title=campaign.title,
        creator="the consortium" if campaign.creator == OPERATOR else campaign.creator,
        state=campaign.state if last is None or not last.going else last.state,
        reason=campaign.reason,
        metrics=[f"{metric.key} ({metric.unit})" for metric in spec.metrics],
        epsilon=spec.noise.epsilon,
        schedule=spec.schedule,
        runs=spec.runs,
        runs_opened=0 if last is None else last.number,
        next_run_at=campaign.next_run_at,
        last_release=None if released is None else released.released_at,
    )
