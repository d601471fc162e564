"""Opening an attempt, and its events. Callers hold the job's lock, and are the coordinator."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.utils import timezone

from apps.common.actor import COORDINATOR, Actor
from apps.keys.bell import bell_ring
from apps.provenance.selectors import checkpoint_latest
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.models import Job, Round
from federated.protocol.cost import cohort_asked
from federated.wire.round import RoundContext


def checkpoint_digest() -> str:
    """SHA-256 of the consortium log's newest checkpoint note; of no bytes before the first."""
    newest = checkpoint_latest()
    return hashlib.sha256(newest.note.encode() if newest else b"").hexdigest()


def round_open(job: Job, *, number: int, attempt: int) -> Round:
    """A new attempt, from the job's present model. One open attempt a job: a constraint."""
    released = job.rounds.filter(state=Round.State.RELEASED).values_list("cohort", flat=True)
    sizes = [len(cohort["members"]) for cohort in released if cohort]
    context = RoundContext.parse(
        {
            "job_id": str(job.pk),
            "spec": job.spec_digest,
            "round": number,
            "attempt": attempt,
            "model": job.model_digest,
            "key_epoch": job.wire.key_epoch,
            "checkpoint": checkpoint_digest(),
            **cohort_asked(job.wire, attempt=attempt, released=sizes),
        }
    )
    opened = timezone.now()
    row = Round.objects.create(
        job=job,
        number=number,
        attempt=attempt,
        context=context.dump(),
        context_digest=context.digest(),
        opened_at=opened,
        deadline=opened + timedelta(seconds=job.wire.round_seconds),
    )
    round_event(Tag.ROUND_OPENED, row, actor=COORDINATOR, digests={"model": job.model_digest})
    bell_ring(job.slugs())
    return row


def round_event(
    tag: Tag,
    row: Round,
    *,
    actor: Actor,
    digests: dict[str, str] | None = None,
    data: dict[str, object] | None = None,
    signature: str | None = None,
) -> None:
    """An event of a job's attempt, with what identifies it."""
    known = {"context": row.context_digest}
    if row.cohort_digest:
        known["cohort"] = row.cohort_digest
    event_record(
        tag=tag,
        actor=actor,
        subject=("job", row.job_id),
        digests=known | (digests or {}),
        data={"round": row.number, "attempt": row.attempt} | (data or {}),
        signature=signature,
    )
