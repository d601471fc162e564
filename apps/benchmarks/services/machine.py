"""The state machine of campaigns: which run is due, and what a campaign waits for.

Any worker may take a transition that is due. As for jobs, a step is one transaction that locks the
campaign's row first and claims its work by a conditional UPDATE; a process that dies leaves the
state before the step, and ``tick`` takes it again. Runs' own steps are in apps.attempts. A run is
due at ``next_run_at`` on the campaign's row: a schedule that was missed, once or many times, is
caught up by one run.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.attempts.steps import attempt_advance
from apps.benchmarks.cron import next_due
from apps.benchmarks.models import Campaign, CampaignParticipant, Run
from apps.benchmarks.selectors.campaigns import run_last
from apps.benchmarks.services import runs
from apps.benchmarks.services.attempts import RUNS
from apps.benchmarks.services.lifecycle import campaign_end, campaign_lock
from apps.common.actor import COORDINATOR
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from apps.keys.models import KeyEpoch
from apps.keys.selectors import key_epoch_get
from federated.errors import DomainError, NotFound

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
            last.campaign = campaign
            attempt_advance(RUNS, last)
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
