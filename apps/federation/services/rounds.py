"""The steps of one attempt. Callers hold the job's lock and run as the coordinator."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.utils import timezone

from apps.aggregation.bell import bell_ring
from apps.common.actor import COORDINATOR, Actor
from apps.federation.models import Job, Round
from apps.federation.queue import enqueue
from apps.federation.services.sums import sum_begin
from apps.provenance.selectors import checkpoint_latest
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from federated.protocol.cost import cohort_asked
from federated.wire.round import Cohort, RoundContext


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
    found = Round.objects.create(
        job=job,
        number=number,
        attempt=attempt,
        context=context.dump(),
        context_digest=context.digest(),
        opened_at=opened,
        deadline=opened + timedelta(seconds=job.wire.round_seconds),
    )
    _record(Tag.ROUND_OPENED, found, digests={"model": job.model_digest})
    bell_ring(job.slugs())
    return found


def round_close(found: Round) -> bool:
    """collecting -> charging with the cohort fixed, or abandoned below the attempt's minimum.

    A contribution holds the attempt's row locked while it is stored, so that after the UPDATE
    every accepted one is visible. True if the attempt is over.
    """
    if not _claim(found, Round.State.COLLECTING, Round.State.CHARGING, closed_at=timezone.now()):
        return False
    members = dict(found.contributions.values_list("organization", "digest"))
    minimum = found.wire_context.minimum(found.job.wire)
    if len(members) < minimum:
        there = ", ".join(sorted(members)) or "nobody"
        reason = f"{len(members)} contributions ({there}), the attempt's minimum is {minimum}"
        return round_abandon(found, reason=reason)
    cohort = Cohort(context=found.context_digest, members=members)
    found.cohort, found.cohort_digest = cohort.dump(), cohort.digest()
    found.deadline = _deadline(found)
    found.save(update_fields=["cohort", "cohort_digest", "deadline"])
    _record(Tag.ROUND_CLOSED, found, digests=members | {"cohort": found.cohort_digest})
    bell_ring(found.job.slugs())
    enqueue("aggregation.round_sum", found.pk)
    sum_begin(found)
    return False


def round_charged(found: Round) -> bool:
    """charging -> decrypting: every member of the cohort has charged its ledger."""
    if _claim(found, Round.State.CHARGING, Round.State.DECRYPTING, charged_at=timezone.now()):
        found.deadline = _deadline(found)
        found.save(update_fields=["deadline"])
        _record(Tag.ROUND_CHARGED, found)
        bell_ring(found.job.slugs())
    return False


def round_abandon(found: Round, *, reason: str) -> bool:
    """End an open attempt without a release. True if this call did."""
    won = Round.objects.filter(pk=found.pk, state__in=Round.OPEN).update(
        state=Round.State.ABANDONED, reason=reason[:1000], abandoned_at=timezone.now()
    )
    if not won:
        return False
    found.refresh_from_db()
    _record(Tag.ROUND_ABANDONED, found, data={"reason": reason[:1000]})
    bell_ring(found.job.slugs())
    return True


def _deadline(found: Round) -> object:
    return timezone.now() + timedelta(seconds=found.job.wire.round_seconds)


def _claim(found: Round, before: Round.State, after: Round.State, **fields: object) -> bool:
    won = Round.objects.filter(pk=found.pk, state=before).update(state=after, **fields) == 1
    if won:
        job = found.job
        found.refresh_from_db()
        found.job = job
    return won


def _record(
    tag: Tag,
    found: Round,
    *,
    digests: dict[str, str] | None = None,
    data: dict[str, object] | None = None,
) -> None:
    round_event(tag, found, actor=COORDINATOR, digests=digests, data=data)


def round_event(
    tag: Tag,
    found: Round,
    *,
    actor: Actor,
    digests: dict[str, str] | None = None,
    data: dict[str, object] | None = None,
    signature: str | None = None,
) -> None:
    """An event of a job's attempt, with what identifies it."""
    known = {"context": found.context_digest}
    if found.cohort_digest:
        known["cohort"] = found.cohort_digest
    event_record(
        tag=tag,
        actor=actor,
        subject=("job", found.job_id),
        digests=known | (digests or {}),
        data={"round": found.number, "attempt": found.attempt} | (data or {}),
        signature=signature,
    )
