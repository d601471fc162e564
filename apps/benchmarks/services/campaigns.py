"""Making, changing and cancelling a campaign."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.attempts.models import Agreement
from apps.attempts.selectors.agreements import attempt_last
from apps.attempts.services.agreements import agreement_end, agreement_lock
from apps.attempts.services.answers import participants_make
from apps.attempts.services.events import agreement_event
from apps.benchmarks.cron import first_due
from apps.benchmarks.drafts import CampaignDraft, spec_of
from apps.benchmarks.models import Campaign
from apps.benchmarks.services.waiting import campaign_wait
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from apps.keys.services import key_epoch_hold
from apps.provenance.tags import Tag
from federated.errors import Forbidden, InvalidInput
from federated.protocol.arrival import CampaignClosed
from federated.protocol.kinds.benchmark import BENCHMARK
from federated.wire import campaign as wire

OPERATOR = "operator"


def campaign_create(*, draft: CampaignDraft, creator: str, actor: Actor) -> Campaign:
    """A new campaign, which waits for approvals. ``creator``: an organization, or ``operator``.

    Raises Forbidden where organizations may not create campaigns, NotFound before a key was dealt,
    and InvalidInput naming the field at fault.
    """
    if creator != OPERATOR and not settings.FSC_CONFIG.benchmarks.organizations_create:
        raise Forbidden("Operators create campaigns here (benchmarks.organizations_create is off).")
    with as_coordinator(), transaction.atomic():
        spec = spec_of(draft, campaign_id=str(uuid.uuid4()), creator=creator)
        key_epoch_hold(digest=spec.key_epoch)
        if creator != OPERATOR and spec.participant(creator) is None:
            raise InvalidInput(f"participants: {creator} is not among them", field="participants")
        campaign = Campaign.objects.create(
            id=spec.campaign_id,
            kind=BENCHMARK.name,
            state=Campaign.State.ACTIVE,
            proposer=creator,
            title=spec.title,
            spec=spec.dump(),
            spec_digest=spec.digest(),
            key_epoch=spec.key_epoch,
            next_run_at=first_due(spec.schedule, timezone.now()),
        )
        participants_make(campaign)
        agreement_event(Tag.CAMPAIGN_CREATED, campaign, actor=actor, data=_facts(spec))
        campaign_wait(campaign)
        return campaign


def campaign_change(
    *, campaign: Campaign, draft: CampaignDraft, editor: str, actor: Actor
) -> Campaign:
    """Another spec of the same campaign: all approvals fall, sites approve and reserve anew.

    Runs go on counting. Raises Forbidden for anybody but the creator and an operator,
    CampaignClosed while a run is going or after the end.
    """
    with as_coordinator(), transaction.atomic():
        locked = agreement_lock(campaign.pk)
        if editor not in (OPERATOR, locked.proposer):
            raise Forbidden(f"{locked.proposer} created this campaign; only it may change it.")
        last = attempt_last(locked)
        if locked.ended or (last is not None and last.open):
            why = locked.state if locked.ended else f"in {last}"
            raise CampaignClosed(f"The campaign is {why}: it cannot be changed now.")
        spec = spec_of(draft, campaign_id=str(locked.pk), creator=locked.proposer)
        key_epoch_hold(digest=spec.key_epoch)
        if last is not None and spec.runs <= last.number:
            raise InvalidInput(
                f"runs: {spec.runs}; {last.number} runs are over, so more than those are needed",
                field="runs",
            )
        Agreement.objects.filter(pk=locked.pk).update(
            spec=spec.dump(), spec_digest=spec.digest(), key_epoch=spec.key_epoch
        )
        Campaign.objects.filter(pk=locked.pk).update(
            title=spec.title,
            next_run_at=first_due(spec.schedule, timezone.now()),
            changed_at=timezone.now(),
        )
        before = locked.slugs()
        changed: Campaign = agreement_lock(locked.pk)
        participants_make(changed)
        digests = {"before": locked.spec_digest}
        agreement_event(
            Tag.CAMPAIGN_CHANGED, changed, actor=actor, data=_facts(spec), digests=digests
        )
        bell_ring(before)
        campaign_wait(changed)
        return changed


def campaign_cancel(*, campaign: Campaign, editor: str, reason: str, actor: Actor) -> bool:
    """Its creator or an operator ends the campaign, and its run if one is going."""
    with as_coordinator(), transaction.atomic():
        locked = agreement_lock(campaign.pk)
        if editor not in (OPERATOR, locked.proposer):
            raise Forbidden(f"{locked.proposer} created this campaign; only it may cancel it.")
        if locked.state == Campaign.State.CANCELLED:
            return False
        if locked.ended:
            raise CampaignClosed("The campaign has ended; there is nothing to cancel.")
        why = f"cancelled by {editor}" + (f": {reason}" if reason else "")
        return agreement_end(locked, state=Campaign.State.CANCELLED, reason=why, actor=actor)


def _facts(spec: wire.CampaignSpec) -> dict[str, Any]:
    return {
        "title": spec.title,
        "metrics": [metric.key for metric in spec.metrics],
        "epsilon": spec.noise.epsilon,
        "noise": spec.noise.kind,
        "participants": len(spec.participants),
        "minimum_cohort": spec.minimum_cohort,
        "schedule": spec.schedule,
        "runs": spec.runs,
    }
