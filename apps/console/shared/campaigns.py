"""A campaign as a line of a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.attempts.selectors.agreements import attempt_last
from apps.benchmarks.models import Campaign
from apps.benchmarks.selectors.campaigns import release_last, state_of
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
    spec, last, released = campaign.wire, attempt_last(campaign), release_last(campaign)
    return CampaignRow(
        id=str(campaign.pk),
        title=campaign.title,
        creator="the consortium" if campaign.proposer == OPERATOR else campaign.proposer,
        state=campaign.state if last is None or not last.open else state_of(last),
        reason=campaign.reason,
        metrics=[f"{metric.key} ({metric.unit})" for metric in spec.metrics],
        epsilon=spec.noise.epsilon,
        schedule=spec.schedule,
        runs=spec.runs,
        runs_opened=0 if last is None else last.number,
        next_run_at=campaign.next_run_at,
        last_release=None if released is None else released.released_at,
    )
