"""The state machine of jobs: queued, started, their attempts one after the other, ended.

Any worker may take a transition that is due. Every step is one transaction that locks the job's
row first and claims its work by a conditional UPDATE; what it leads to (the next attempt, the next
round, the end) is in the same transaction. A process that dies anywhere leaves the state before
the step, and ``tick`` takes the step again. Attempts' own steps are in apps.attempts. Nothing here
is done for an organization: it runs as the coordinator.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from apps.attempts.models import Agreement, Participant
from apps.attempts.selectors.agreements import attempt_last
from apps.attempts.services.agreements import agreement_lock
from apps.attempts.services.events import agreement_event
from apps.attempts.services.steps import attempt_advance
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from apps.keys.selectors import key_epoch_get
from apps.provenance.tags import Tag
from apps.training.models import Job
from apps.training.services.lifecycle import job_continue
from federated.errors import DomainError, NotFound

QUEUE_LOCK = 0x717565
log = logging.getLogger(__name__)


def tick() -> int:
    """Advance everything that is due; return how many jobs were looked at."""
    with as_coordinator():
        approved = Job.objects.filter(state=Job.State.PROPOSED).exclude(
            participants__state=Participant.State.PENDING
        )
        running = Job.objects.filter(state=Job.State.RUNNING)
        due = [*approved.values_list("pk", flat=True), *running.values_list("pk", flat=True)]
        for job_id in due:
            try:
                job_advance(job_id)
            except DomainError:
                log.exception("job %s cannot be advanced", job_id)
        queue_advance()
        return len(due)


def job_advance(job_id: Any) -> None:
    """Take the steps of one job that are due. Safe to call at any time, any number of times."""
    with as_coordinator():
        job = Job.objects.filter(pk=job_id).first()
        if job is None:
            raise NotFound("No such job.")
        match job.state:
            case Job.State.PROPOSED:
                _queue(job)
                queue_advance()
            case Job.State.QUEUED:
                queue_advance()
            case Job.State.RUNNING:
                last = attempt_last(job)
                if last is None or not last.open:
                    _continue(job)
                else:
                    attempt_advance(last.pk)


def _continue(job: Job) -> None:
    with transaction.atomic():
        locked = agreement_lock(job.pk)
        if locked.state == Job.State.RUNNING:
            job_continue(locked)


def _queue(job: Job) -> None:
    """proposed -> queued, once every participant has approved."""
    with transaction.atomic():
        locked = agreement_lock(job.pk)
        if locked.participants.exclude(state=Participant.State.APPROVED).exists():
            return
        if _claim(job, Job.State.PROPOSED, state=Job.State.QUEUED, reason="waits for its turn"):
            Job.objects.filter(pk=job.pk).update(queued_at=timezone.now())
            agreement_event(Tag.JOB_QUEUED, job)
            bell_ring(job.slugs())


def queue_advance() -> None:
    """Start queued jobs, first come first served, as many as may run; the others say why not."""
    with as_coordinator(), transaction.atomic():
        if not Job.objects.filter(state=Job.State.QUEUED).exists():
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [QUEUE_LOCK])
        running = Job.objects.filter(state=Job.State.RUNNING).count()
        most = settings.FSC_CONFIG.jobs.concurrency
        for job in Job.objects.filter(state=Job.State.QUEUED).order_by("queued_at", "created_at"):
            epoch = key_epoch_get(digest=job.wire.key_epoch)
            if not epoch.confirmed:
                # Its trustees are slow; those behind it need not be.
                _wait(job, "waits for a key epoch: not every trustee has confirmed its share")
            elif running >= most:
                _wait(job, f"waits for {running} running job{'s' if running > 1 else ''}")
            else:
                running += _start(job)


def _claim(job: Job, before: Job.State, **columns: Any) -> bool:
    """Change a job by one conditional UPDATE, which locks it. False where another did."""
    return Agreement.objects.filter(pk=job.pk, state=before).update(**columns) == 1


def _wait(job: Job, reason: str) -> None:
    if job.reason != reason and _claim(job, Job.State.QUEUED, reason=reason):
        bell_ring(job.slugs())


def _start(job: Job) -> int:
    won = _claim(job, Job.State.QUEUED, state=Job.State.RUNNING, reason="")
    if won:
        Job.objects.filter(pk=job.pk).update(started_at=timezone.now())
        job.refresh_from_db()
        agreement_event(Tag.JOB_STARTED, job, digests={"model": job.model_digest})
        job_continue(job)
    return int(won)
