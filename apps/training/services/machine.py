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

from apps.attempts.steps import attempt_advance
from apps.common.actor import COORDINATOR
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from apps.keys.selectors import key_epoch_get
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.models import Job, JobParticipant, Round
from apps.training.selectors.jobs import round_last
from apps.training.services.attempts import ROUNDS
from apps.training.services.lifecycle import job_continue, job_lock
from federated.errors import DomainError, NotFound

QUEUE_LOCK = 0x717565
log = logging.getLogger(__name__)


def tick() -> int:
    """Advance everything that is due; return how many jobs were looked at."""
    with as_coordinator():
        approved = Job.objects.filter(state=Job.State.PROPOSED).exclude(
            participants__state=JobParticipant.State.PENDING
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
                found = round_last(job)
                if found is None or not found.open:
                    _continue(job)
                else:
                    round_advance(found.pk)


def round_advance(round_id: Any) -> None:
    """Take the step of one attempt that is due, if one is."""
    with as_coordinator():
        found = Round.objects.select_related("job").filter(pk=round_id).first()
        if found is None:
            raise NotFound("No such round.")
        attempt_advance(ROUNDS, found)


def _continue(job: Job) -> None:
    with transaction.atomic():
        locked = job_lock(job.pk)
        if locked.state == Job.State.RUNNING:
            job_continue(locked)


def _queue(job: Job) -> None:
    """proposed -> queued, once every participant has approved."""
    with transaction.atomic():
        locked = job_lock(job.pk)
        if locked.participants.exclude(state=JobParticipant.State.APPROVED).exists():
            return
        won = Job.objects.filter(pk=job.pk, state=Job.State.PROPOSED).update(
            state=Job.State.QUEUED, queued_at=timezone.now(), reason="waits for its turn"
        )
        if won:
            event_record(
                tag=Tag.JOB_QUEUED,
                actor=COORDINATOR,
                subject=("job", job.pk),
                digests={"spec": job.spec_digest},
            )
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


def _wait(job: Job, reason: str) -> None:
    if job.reason != reason:
        changed = Job.objects.filter(pk=job.pk, state=Job.State.QUEUED).update(reason=reason)
        if changed:
            bell_ring(job.slugs())


def _start(job: Job) -> int:
    won = Job.objects.filter(pk=job.pk, state=Job.State.QUEUED).update(
        state=Job.State.RUNNING, started_at=timezone.now(), reason=""
    )
    if won:
        job.refresh_from_db()
        event_record(
            tag=Tag.JOB_STARTED,
            actor=COORDINATOR,
            subject=("job", job.pk),
            digests={"spec": job.spec_digest, "model": job.model_digest},
        )
        job_continue(job)
    return won
