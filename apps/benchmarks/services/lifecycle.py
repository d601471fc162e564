"""A campaign's lock and its end. Callers run as the coordinator."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.benchmarks.models import Campaign
from apps.benchmarks.selectors.campaigns import run_last
from apps.benchmarks.services.runs import run_abandon
from apps.common.actor import Actor
from apps.keys.bell import bell_ring
from apps.provenance.services import event_record
from apps.provenance.tags import Tag


def campaign_lock(campaign_id: Any) -> Campaign:
    """The campaign's row, locked: always the first lock that a step takes."""
    return Campaign.objects.select_for_update().get(pk=campaign_id)


_END_TAGS = {
    Campaign.State.ENDED: Tag.CAMPAIGN_ENDED,
    Campaign.State.CANCELLED: Tag.CAMPAIGN_CANCELLED,
}


def campaign_end(campaign: Campaign, *, state: Campaign.State, reason: str, actor: Actor) -> bool:
    """End a campaign that has not ended; its run with it. The caller holds its lock."""
    won = Campaign.objects.filter(pk=campaign.pk, state=Campaign.State.ACTIVE).update(
        state=state, reason=reason[:1000], ended_at=timezone.now(), next_run_at=None
    )
    if not won:
        return False
    last = run_last(campaign)
    if last is not None and last.going:
        run_abandon(last, campaign, reason=f"the campaign is {state}")
    event_record(
        tag=_END_TAGS[state],
        actor=actor,
        subject=("campaign", campaign.pk),
        digests={"spec": campaign.spec_digest},
        data={"reason": reason[:1000]},
    )
    bell_ring(campaign.slugs())
    return True
