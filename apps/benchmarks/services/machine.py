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

from apps.attempts.models import Attempt
from apps.attempts.selectors.agreements import attempt_last
from apps.attempts.services.agreements import agreement_end, agreement_lock, attempt_open
from apps.attempts.services.steps import attempt_advance
from apps.benchmarks.cron import next_due
from apps.benchmarks.models import Campaign
from apps.benchmarks.services.waiting import campaign_wait
from apps.common.actor import COORDINATOR
from apps.common.coordinator import as_coordinator
from federated.errors import DomainError, NotFound

log = logging.getLogger(__name__)


def tick() -> int:
    """Advance every campaign that is due or has a run going; return how many were looked at."""
    with as_coordinator():
        active = Campaign.objects.filter(state=Campaign.State.ACTIVE)
        due = set(active.filter(next_run_at__lte=timezone.now()).values_list("pk", flat=True))
        going = Attempt.objects.filter(
            agreement__in=active.values("pk"), state__in=Attempt.OPEN
        ).values_list("agreement_id", flat=True)
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
        last = attempt_last(campaign)
        if last is not None and last.open:
            attempt_advance(last.pk)
        elif campaign.state == Campaign.State.ACTIVE:
            _begin(campaign)


def _begin(campaign: Campaign) -> None:
    """Open the next run if it is due and may be; end a campaign that has had its runs."""
    with transaction.atomic():
        locked: Campaign = agreement_lock(campaign.pk)
        last = attempt_last(locked)
        number = 1 if last is None else last.number + 1
        if locked.state != Campaign.State.ACTIVE or (last is not None and last.open):
            return
        if number > locked.wire.runs or locked.next_run_at is None:
            agreement_end(
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
            attempt_open(locked, number=number)
