"""The state machine of jobs and attempts: what is due is done, by whoever comes first.

Every step is one transaction that locks the job's row first and claims its work by a conditional
UPDATE; what it leads to (the next attempt, the next round, the end) is in the same transaction. A
process that dies anywhere leaves the state before the step, and ``tick`` takes the step again.
Nothing here is done for an organization: it runs as the coordinator.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from apps.aggregation.bell import bell_ring
from apps.aggregation.selectors import key_epoch_get
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.federation.models import Job, JobParticipant, Round
from apps.federation.queue import enqueue
from apps.federation.selectors.jobs import round_last
from apps.federation.selectors.trustees import trustees_of
from apps.federation.services import rounds
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from federated.errors import DomainError, NotFound

ATTEMPTS_MOST = 4
QUEUE_LOCK = 0x717565
COORDINATOR = Actor.system("coordinator")
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
        late = timezone.now() >= found.deadline
        match found.state:
            case Round.State.COLLECTING:
                full = found.contributions.count() == len(found.job.wire.participants)
                if full or late:
                    _step(found, rounds.round_close)
            case Round.State.CHARGING:
                if found.receipts.count() == len(found.members):
                    _step(found, rounds.round_charged)
                else:
                    _abandon_if(found, _why_no_charge(found, late=late))
            case Round.State.DECRYPTING:
                if found.shares.count() >= found.job.agreement.threshold:
                    enqueue("aggregation.round_release", found.pk)
                else:
                    _abandon_if(found, _why_no_release(found, late=late))


def _why_no_charge(found: Round, *, late: bool) -> str:
    refused = _refusals(found)
    if refused:
        return f"no charge: {refused}"
    if not late:
        return ""
    charged = set(found.receipts.values_list("organization", flat=True))
    missing = ", ".join(name for name in found.members if name not in charged)
    return f"no charge receipt of {missing} by the deadline"


def _why_no_release(found: Round, *, late: bool) -> str:
    """Empty while ``threshold`` trustees of this job may still answer."""
    needed = found.job.agreement.threshold
    refusing = set(found.refusals.filter(counts=True).values_list("organization", flat=True))
    few = f"fewer than {needed} trustees ({found.shares.count()} of {needed} shares)"
    if len(set(trustees_of(found)) - refusing) < needed:
        return f"{few}: {_refusals(found)}"
    return f"{few} by the deadline" if late else ""


def _refusals(found: Round) -> str:
    rows = found.refusals.filter(counts=True)
    return "; ".join(f"{r.organization} refuses, {r.reason}: {r.detail}" for r in rows)[:800]


def _abandon_if(found: Round, reason: str) -> None:
    if reason:
        _step(found, lambda row: rounds.round_abandon(row, reason=reason))


def _step(found: Round, step: Any) -> None:
    """One step of an attempt and what follows from it, under the job's lock."""
    with transaction.atomic():
        job = job_lock(found.job_id)
        if job.state != Job.State.RUNNING:
            return
        found.job = job
        if step(found):
            job_continue(job)


def _continue(job: Job) -> None:
    with transaction.atomic():
        locked = job_lock(job.pk)
        if locked.state == Job.State.RUNNING:
            job_continue(locked)


def job_lock(job_id: Any) -> Job:
    """The job's row, locked: always the first lock that a step takes."""
    return Job.objects.select_for_update().get(pk=job_id)


def job_continue(job: Job) -> None:
    """Open what follows the job's last attempt, or end the job. The caller holds its lock."""
    last = round_last(job)
    if last is None:
        rounds.round_open(job, number=1, attempt=1)
    elif last.state == Round.State.ABANDONED:
        if last.attempt >= ATTEMPTS_MOST:
            reason = f"round {last.number} failed {last.attempt} times, at last: {last.reason}"
            job_end(job, state=Job.State.FAILED, reason=reason, actor=COORDINATOR)
        else:
            rounds.round_open(job, number=last.number, attempt=last.attempt + 1)
    elif last.state == Round.State.RELEASED:
        if last.number >= job.wire.strategy.rounds:
            job_end(job, state=Job.State.FINISHED, reason="", actor=COORDINATOR)
        else:
            rounds.round_open(job, number=last.number + 1, attempt=1)


_END_TAGS = {
    Job.State.FINISHED: Tag.JOB_FINISHED,
    Job.State.FAILED: Tag.JOB_FAILED,
    Job.State.DECLINED: Tag.JOB_REFUSED,
    Job.State.CANCELLED: Tag.JOB_CANCELLED,
}


def job_end(
    job: Job, *, state: Job.State, reason: str, actor: Actor, signature: str | None = None
) -> bool:
    """End a job that has not ended; its open attempt with it. The caller holds its lock."""
    won = (
        Job.objects.filter(pk=job.pk)
        .exclude(state__in=Job.ENDED)
        .update(state=state, reason=reason[:1000], ended_at=timezone.now())
    )
    if not won:
        return False
    Round.objects.filter(job=job, state__in=Round.OPEN).update(
        state=Round.State.ABANDONED,
        reason=f"the job is {state}",
        abandoned_at=timezone.now(),
    )
    job.refresh_from_db()
    event_record(
        tag=_END_TAGS[state],
        actor=actor,
        subject=("job", job.pk),
        digests={"spec": job.spec_digest, "model": job.model_digest},
        data={"reason": reason[:1000]},
        signature=signature,
    )
    bell_ring(job.slugs())
    waiting = Job.objects.filter(state=Job.State.QUEUED).order_by("queued_at").first()
    if waiting is not None:
        enqueue("federation.job_advance", waiting.pk)
    return True


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
