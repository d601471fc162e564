"""A job's attempts one after the other, and its end. Callers run as the coordinator."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.common.actor import COORDINATOR, Actor
from apps.keys.bell import bell_ring
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.models import Job, Round
from apps.training.queue import enqueue
from apps.training.selectors.jobs import round_last
from apps.training.services import rounds
from federated.protocol.attempt import State
from federated.protocol.kinds import kind_of
from federated.protocol.kinds.base import Fail, Finish, Open


def job_lock(job_id: Any) -> Job:
    """The job's row, locked: always the first lock that a step takes."""
    return Job.objects.select_for_update().get(pk=job_id)


def job_continue(job: Job) -> None:
    """Open what follows the job's last attempt, or end the job. The caller holds its lock."""
    last = round_last(job)
    if last is None:
        rounds.round_open(job, number=1, attempt=1)
    elif not last.open:
        following = kind_of(job.agreement).following(
            job.agreement,
            number=last.number,
            attempt=last.attempt,
            state=State(last.state),
            reason=last.reason,
        )
        match following:
            case Open(number, attempt):
                rounds.round_open(job, number=number, attempt=attempt)
            case Finish():
                job_end(job, state=Job.State.FINISHED, reason="", actor=COORDINATOR)
            case Fail(reason):
                job_end(job, state=Job.State.FAILED, reason=reason, actor=COORDINATOR)


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
        enqueue("training.job_advance", waiting.pk)
    return True
