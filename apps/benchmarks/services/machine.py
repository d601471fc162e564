"""The state machine of campaigns and runs: what is due is done, by whoever comes first.

As for jobs: a step is one transaction that locks the campaign's row first and claims its work by a
conditional UPDATE; a process that dies leaves the state before the step, and ``tick`` takes it
again. Due-ness is ``next_run_at`` on the campaign's row: a schedule that was missed, once or many
times, is caught up by one run.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.aggregation.bell import bell_ring
from apps.aggregation.models import KeyEpoch
from apps.aggregation.selectors import key_epoch_get
from apps.benchmarks.cron import next_due
from apps.benchmarks.models import Campaign, CampaignParticipant, Run
from apps.benchmarks.selectors.campaigns import run_last
from apps.benchmarks.selectors.trustees import refusing, trustees_of
from apps.benchmarks.services import runs
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.federation.queue import enqueue
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from federated.errors import DomainError, NotFound

COORDINATOR = runs.COORDINATOR
NAMED_MOST = 5
log = logging.getLogger(__name__)


def tick() -> int:
    """Advance every campaign that is due or has a run going; return how many were looked at."""
    with as_coordinator():
        active = Campaign.objects.filter(state=Campaign.State.ACTIVE)
        due = set(active.filter(next_run_at__lte=timezone.now()).values_list("pk", flat=True))
        going = Run.objects.filter(state__in=Run.GOING).values_list("campaign_id", flat=True)
        # One that has had all its runs ends.
        idle = active.filter(next_run_at=None).values_list("pk", flat=True)
        for campaign_id in sorted(due | set(going) | set(idle)):
            try:
                campaign_advance(campaign_id)
            except DomainError:
                log.exception("campaign %s cannot be advanced", campaign_id)
        return len(due)


def campaign_advance(campaign_id: Any) -> None:
    """Take the steps of one campaign that are due. Safe at any time, any number of times."""
    with as_coordinator():
        campaign = Campaign.objects.filter(pk=campaign_id).first()
        if campaign is None:
            raise NotFound("No such campaign.")
        last = run_last(campaign)
        if last is not None and last.going:
            _run_advance(last.pk)
        elif campaign.state == Campaign.State.ACTIVE:
            _begin(campaign)


def _begin(campaign: Campaign) -> None:
    """Open the next run if it is due and may be; end a campaign that has had its runs."""
    with transaction.atomic():
        locked = campaign_lock(campaign.pk)
        last = run_last(locked)
        number = 1 if last is None else last.number + 1
        if locked.state != Campaign.State.ACTIVE or (last is not None and last.going):
            return
        if number > locked.wire.runs or locked.next_run_at is None:
            campaign_end(
                locked,
                state=Campaign.State.ENDED,
                reason="all its runs are over",
                actor=COORDINATOR,
            )
            return
        campaign_wait(locked)
        now = timezone.now()
        if locked.reason or locked.next_run_at > now:
            return
        following = next_due(locked.wire.schedule, now)
        won = Campaign.objects.filter(pk=locked.pk, next_run_at=locked.next_run_at).update(
            next_run_at=following
        )
        if won:
            runs.run_open(locked, number=number)


def campaign_wait(campaign: Campaign) -> None:
    """Say on the row what the campaign waits for before its next run; nothing if it may open."""
    reason = _why_not(campaign)
    if campaign.reason != reason:
        Campaign.objects.filter(pk=campaign.pk).update(reason=reason)
        campaign.reason = reason
        bell_ring(campaign.slugs())


def _why_not(campaign: Campaign) -> str:
    spec = campaign.wire
    key = key_epoch_get(digest=spec.key_epoch)
    if key.state not in KeyEpoch.USABLE or not key.confirmed:
        return (
            "waits for its key epoch: not every trustee has confirmed its share, or it is retired"
        )
    parts = list(campaign.participants.all())
    approved = {p.organization for p in parts if p.state == CampaignParticipant.State.APPROVED}
    declined = [p for p in parts if p.state == CampaignParticipant.State.DECLINED]
    said = "; ".join(f"{p.organization} declined: {p.reason}" for p in declined)
    pending = sorted(p.organization for p in parts if p.state == CampaignParticipant.State.PENDING)
    names = ", ".join(pending[:NAMED_MOST])
    more = f" and {len(pending) - NAMED_MOST} more" if len(pending) > NAMED_MOST else ""
    open_answers = f"; {names}{more} to answer" if pending else ""
    if len(approved) < spec.minimum_cohort:
        told = f"{len(approved)} of at least {spec.minimum_cohort} organizations have approved"
        return f"{told}{open_answers}{'; ' if said else ''}{said}"[:1000]
    threshold = campaign.agreement.threshold
    trustees = campaign.agreement.serving(approved)
    if len(trustees) < threshold:
        told = f"{len(trustees)} of at least {threshold} trustees have approved"
        return f"{told}{open_answers}{'; ' if said else ''}{said}"[:1000]
    return ""


def _run_advance(run_id: Any) -> None:
    """Take the step of one run that is due, if one is."""
    found = Run.objects.select_related("campaign").get(pk=run_id)
    late = timezone.now() >= found.deadline
    match found.state:
        case Run.State.OPEN:
            if late or _complete(found):
                _step(found, runs.run_close)
        case Run.State.CHARGING:
            if found.runreceipts.count() == len(found.members):
                _step(found, runs.run_charged)
            else:
                _abandon_if(found, _why_no_charge(found, late=late))
        case Run.State.NOISING:
            if found.noises.count() >= found.agreement.threshold:
                _step(found, runs.run_noised)
            else:
                _abandon_if(found, _why_few(found, "noise", late=late))
        case Run.State.DECRYPTING:
            if found.runshares.count() >= found.agreement.threshold:
                enqueue("benchmarks.run_release", found.pk)
            else:
                _abandon_if(found, _why_few(found, "shares", late=late))


def _complete(found: Run) -> bool:
    """Everybody who may has submitted, and nobody is left who may still approve."""
    pending = CampaignParticipant.State.PENDING
    if found.campaign.participants.filter(state=pending).exists():
        return False
    return bool(found.submissions.count() == len(found.invited))


def _why_no_charge(found: Run, *, late: bool) -> str:
    refused = _refusals(found)
    if refused:
        return f"no charge: {refused}"
    if not late:
        return ""
    charged = set(found.runreceipts.values_list("organization", flat=True))
    missing = [name for name in found.members if name not in charged]
    return f"no charge receipt of {', '.join(missing[:NAMED_MOST])} by the deadline"


def _why_few(found: Run, what: str, *, late: bool) -> str:
    """Empty while enough trustees may still answer."""
    needed = found.agreement.threshold
    able = set(trustees_of(found)) - refusing(found)
    if len(able) < needed:
        return f"{what} of fewer than {needed} trustees: {_refusals(found)}"
    return f"{what} of fewer than {needed} trustees by the deadline" if late else ""


def _refusals(found: Run) -> str:
    rows = found.runrefusals.filter(counts=True)
    return "; ".join(f"{r.organization} refuses, {r.reason}: {r.detail}" for r in rows)[:800]


def _abandon_if(found: Run, reason: str) -> None:
    if reason:
        _step(found, lambda row: runs.run_abandon(row, reason=reason))


def _step(found: Run, step: Any) -> None:
    """One step of a run, under its campaign's lock."""
    with transaction.atomic():
        found.campaign = campaign_lock(found.campaign_id)
        step(found)


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
        last.campaign = campaign
        runs.run_abandon(last, reason=f"the campaign is {state}")
    event_record(
        tag=_END_TAGS[state],
        actor=actor,
        subject=("campaign", campaign.pk),
        digests={"spec": campaign.spec_digest},
        data={"reason": reason[:1000]},
    )
    bell_ring(campaign.slugs())
    return True
