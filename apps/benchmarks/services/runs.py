"""Opening a run, its events, and its end with its campaign. Callers hold the campaign's lock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.benchmarks.models import Campaign, Run
from apps.common.actor import COORDINATOR, Actor
from apps.keys.bell import bell_ring
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.services.rounds import checkpoint_digest
from federated.wire.campaign import CampaignContext


def run_open(campaign: Campaign, *, number: int) -> Run:
    """A new run by the present spec, for those who approved it. One at a time: a constraint."""
    spec = campaign.wire
    context = CampaignContext(
        campaign_id=str(campaign.pk),
        spec=campaign.spec_digest,
        run=number,
        key_epoch=spec.key_epoch,
        checkpoint=checkpoint_digest(),
    )
    approved = campaign.participants.filter(state="approved").order_by("organization")
    opened = timezone.now()
    row = Run.objects.create(
        campaign=campaign,
        number=number,
        spec=campaign.spec,
        approvals={part.organization: part.answer for part in approved},
        context=context.dump(),
        context_digest=context.digest(),
        opened_at=opened,
        deadline=opened + timedelta(seconds=spec.run_seconds),
    )
    run_event(Tag.RUN_OPENED, row, digests={"spec": campaign.spec_digest})
    bell_ring(campaign.slugs())
    return row


def run_abandon(row: Run, campaign: Campaign, *, reason: str) -> None:
    """End a campaign's open run with the campaign."""
    row.campaign = campaign
    won = Run.objects.filter(pk=row.pk, state__in=Run.GOING).update(
        state=Run.State.ABANDONED, reason=reason[:1000], abandoned_at=timezone.now()
    )
    if won:
        run_event(Tag.RUN_ABANDONED, row, data={"reason": reason[:1000]})


def run_event(
    tag: Tag,
    row: Run,
    *,
    actor: Actor = COORDINATOR,
    digests: dict[str, str] | None = None,
    data: dict[str, Any] | None = None,
    signature: str | None = None,
) -> None:
    """An event of a campaign's run, with what identifies it."""
    known = {"context": row.context_digest}
    if row.cohort_digest:
        known["cohort"] = row.cohort_digest
    if row.noised_digest:
        known["noised"] = row.noised_digest
    event_record(
        tag=tag,
        actor=actor,
        subject=("campaign", row.campaign_id),
        digests=known | (digests or {}),
        data={"run": row.number} | (data or {}),
        signature=signature,
    )
