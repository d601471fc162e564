"""Making and changing a campaign, and the answers of its organizations."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.benchmarks.cron import first_due
from apps.benchmarks.drafts import CampaignDraft, spec_of
from apps.benchmarks.models import Campaign, CampaignParticipant, Run
from apps.benchmarks.selectors.campaigns import campaigns_of, run_last
from apps.benchmarks.services import machine
from apps.benchmarks.services.lifecycle import campaign_end, campaign_lock
from apps.budgets.selectors import budget_check
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from apps.keys.services import key_epoch_hold
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.queue import enqueue
from federated.errors import Forbidden, InvalidInput
from federated.protocol.arrival import AlreadySent, CampaignClosed
from federated.protocol.checks import approval_check
from federated.protocol.identity import verify_signed
from federated.protocol.refused import Refused
from federated.wire import campaign as wire
from federated.wire.base import Signed

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
            creator=creator,
            title=spec.title,
            spec=spec.dump(),
            spec_digest=spec.digest(),
            next_run_at=first_due(spec.schedule, timezone.now()),
        )
        _participants_reset(campaign)
        _campaign_event(Tag.CAMPAIGN_CREATED, campaign, actor=actor, data=_facts(spec))
        machine.campaign_wait(campaign)
        return campaign


def campaign_change(
    *, campaign: Campaign, draft: CampaignDraft, editor: str, actor: Actor
) -> Campaign:
    """Another spec of the same campaign: all approvals fall, sites approve and reserve anew.

    Runs go on counting. Raises Forbidden for anybody but the creator and an operator,
    CampaignClosed while a run is going or after the end.
    """
    with as_coordinator(), transaction.atomic():
        locked = campaign_lock(campaign.pk)
        if editor not in (OPERATOR, locked.creator):
            raise Forbidden(f"{locked.creator} created this campaign; only it may change it.")
        last = run_last(locked)
        if locked.ended or (last is not None and last.going):
            why = locked.state if locked.ended else f"in {last}"
            raise CampaignClosed(f"The campaign is {why}: it cannot be changed now.")
        spec = spec_of(draft, campaign_id=str(locked.pk), creator=locked.creator)
        key_epoch_hold(digest=spec.key_epoch)
        if last is not None and spec.runs <= last.number:
            raise InvalidInput(
                f"runs: {spec.runs}; {last.number} runs are over, so more than those are needed",
                field="runs",
            )
        Campaign.objects.filter(pk=locked.pk).update(
            title=spec.title,
            spec=spec.dump(),
            spec_digest=spec.digest(),
            next_run_at=first_due(spec.schedule, timezone.now()),
            changed_at=timezone.now(),
        )
        before = locked.slugs()
        found = campaign_lock(locked.pk)
        _participants_reset(found)
        digests = {"before": locked.spec_digest}
        _campaign_event(
            Tag.CAMPAIGN_CHANGED, found, actor=actor, data=_facts(spec), digests=digests
        )
        bell_ring(before)
        machine.campaign_wait(found)
        return found


def _participants_reset(campaign: Campaign) -> None:
    CampaignParticipant.objects.filter(campaign=campaign).delete()
    CampaignParticipant.objects.bulk_create(
        CampaignParticipant(campaign=campaign, organization=slug) for slug in campaign.slugs()
    )


def campaign_cancel(*, campaign: Campaign, editor: str, reason: str, actor: Actor) -> bool:
    """Its creator or an operator ends the campaign, and its run if one is going."""
    with as_coordinator(), transaction.atomic():
        locked = campaign_lock(campaign.pk)
        if editor not in (OPERATOR, locked.creator):
            raise Forbidden(f"{locked.creator} created this campaign; only it may cancel it.")
        if locked.state == Campaign.State.CANCELLED:
            return False
        if locked.ended:
            raise CampaignClosed("The campaign has ended; there is nothing to cancel.")
        why = f"cancelled by {editor}" + (f": {reason}" if reason else "")
        return campaign_end(locked, state=Campaign.State.CANCELLED, reason=why, actor=actor)


def campaigns_end_under(digest: str, reason: str, actor: Actor) -> None:
    """Cancel the campaigns under a key that is retired. The caller's transaction holds the key."""
    found = Campaign.objects.filter(spec__key_epoch=digest).exclude(state__in=Campaign.ENDED)
    for pk in found.values_list("pk", flat=True):
        locked = campaign_lock(pk)
        campaign_end(locked, state=Campaign.State.CANCELLED, reason=reason, actor=actor)


def campaign_approve(
    *, campaign: Campaign, organization: str, signed: Signed[wire.CampaignApproval], actor: Actor
) -> bool:
    """Keep a site's countersignature of the present spec. True if it is new."""
    _sender(signed, organization)
    try:
        approval_check(signed, agreement=campaign.agreement)
    except Refused as error:
        raise InvalidInput(error.message, reason=error.reason.value) from error
    return _answer_take(
        campaign, signed, state=CampaignParticipant.State.APPROVED, reason="", actor=actor
    )


def campaign_decline(
    *, campaign: Campaign, organization: str, signed: Signed[wire.CampaignDecline], actor: Actor
) -> bool:
    """Keep a site's signed no: it takes no part, the others may. True if it is new."""
    _sender(signed, organization)
    body = signed.body
    if body.campaign_id != str(campaign.pk) or body.spec != campaign.spec_digest:
        raise InvalidInput(f"campaign_id, spec: not those of campaign {campaign.pk} now")
    _signature(signed, campaign.wire)
    declined = CampaignParticipant.State.DECLINED
    return _answer_take(campaign, signed, state=declined, reason=body.reason, actor=actor)


def _sender(signed: Signed[Any], organization: str) -> None:
    if signed.body.organization != organization:
        raise Forbidden(
            f"The message is {signed.body.organization}'s; this certificate is {organization}'s."
        )


def _signature(signed: Signed[Any], spec: wire.CampaignSpec) -> None:
    participant = spec.participant(signed.body.organization)
    if participant is None:
        raise Forbidden(f"{signed.body.organization} takes no part in this campaign.")
    verify_signed(signed, participant.public_key)


def _answer_take(
    campaign: Campaign,
    signed: Signed[Any],
    *,
    state: CampaignParticipant.State,
    reason: str,
    actor: Actor,
) -> bool:
    organization = signed.body.organization
    with as_coordinator(), transaction.atomic():
        locked = campaign_lock(campaign.pk)
        if locked.spec_digest != signed.body.spec:
            raise CampaignClosed("The campaign was changed meanwhile; fetch and approve it again.")
        part = locked.participants.get(organization=organization)
        if part.answer == signed.dump():
            return False
        # Who said no may think again: its site approves once the budget allows it.
        if part.state == CampaignParticipant.State.APPROVED:
            raise AlreadySent(f"{organization} has approved this campaign before.")
        if locked.ended:
            raise CampaignClosed(f"The campaign is {locked.state}; nothing is to be approved.")
        part.state, part.reason = state, reason
        part.answer, part.answered_at = signed.dump(), timezone.now()
        part.save(update_fields=["state", "reason", "answer", "answered_at"])
        approved = state == CampaignParticipant.State.APPROVED
        _campaign_event(
            Tag.CAMPAIGN_APPROVED if approved else Tag.CAMPAIGN_DECLINED,
            locked,
            actor=actor,
            digests={"message": signed.digest()},
            data={"organization": organization, "reason": reason},
            signature=signed.digest(),
        )
        if approved:
            _invite(locked, part)
        bell_ring([organization])
        machine.campaign_wait(locked)
        enqueue("benchmarks.campaign_advance", locked.pk)
        return True


def _invite(campaign: Campaign, part: CampaignParticipant) -> None:
    """Who approves while a run by this very spec takes submissions may still submit to it."""
    last = run_last(campaign)
    if last is None or last.state != Run.State.OPEN or last.wire.digest() != campaign.spec_digest:
        return
    approvals = Run.objects.get(pk=last.pk).approvals | {part.organization: part.answer}
    Run.objects.filter(pk=last.pk, state=Run.State.OPEN).update(approvals=approvals)


def campaign_approve_by_person(*, campaign: Campaign, organization: str, actor: Actor) -> bool:
    """A person lets the organization's site approve, where its policy waits for one.

    The site still decides and signs. Raises BudgetExceeded by the mirrored ledger, saying what is
    left and when it renews; CampaignClosed where there is nothing to approve.
    """
    spec = campaign.wire
    proposed = campaigns_of(organization).filter(creator=spec.creator).exclude(pk=campaign.pk)
    budget_check(
        organization=organization,
        cost=campaign.agreement.whole_cost,
        proposer=spec.creator,
        pure_epsilon=spec.runs * spec.noise.epsilon if spec.noise.delta is None else 0.0,
        proposed=dict(proposed.values_list("pk", "created_at")),
    )
    with as_coordinator(), transaction.atomic():
        locked = campaign_lock(campaign.pk)
        part = locked.participants.get(organization=organization)
        if locked.ended or part.state == CampaignParticipant.State.APPROVED:
            raise CampaignClosed(
                f"The campaign is {locked.state}, {organization} has {part.state} it."
            )
        if part.endorsed_by is not None and part.state == CampaignParticipant.State.PENDING:
            return False
        part.endorsed_by, part.state = actor.snapshot(), CampaignParticipant.State.PENDING
        part.save(update_fields=["endorsed_by", "state"])
        _campaign_event(
            Tag.CAMPAIGN_ENDORSED, locked, actor=actor, data={"organization": organization}
        )
        bell_ring([organization])
        return True


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


def _campaign_event(
    tag: Tag,
    campaign: Campaign,
    *,
    actor: Actor,
    data: dict[str, Any],
    digests: dict[str, str] | None = None,
    signature: str | None = None,
) -> None:
    event_record(
        tag=tag,
        actor=actor,
        subject=("campaign", campaign.pk),
        digests={"spec": campaign.spec_digest} | (digests or {}),
        data=data,
        signature=signature,
    )
