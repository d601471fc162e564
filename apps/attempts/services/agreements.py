"""An agreement's lock, its attempts' opening, and its end. Callers run as the coordinator."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.attempts.models import Agreement, Attempt
from apps.attempts.services.events import agreement_event, attempt_event
from apps.common.actor import Actor
from apps.keys.bell import bell_ring
from apps.provenance.selectors import checkpoint_latest
from federated.protocol.attempt import State


def agreement_lock(pk: Any) -> Any:
    """Lock an agreement and return its app's own row: always the first lock of a step.

    Two statements: the lock may have waited, and what it waited for may have changed either row.
    A join would lock both in the order of the plan, or show the own row as it was before.
    """
    agreement = Agreement.objects.select_for_update().get(pk=pk)
    return agreement.played.model.objects.get(pk=pk)


def attempt_lock(attempt: Attempt, agreement: Agreement) -> Attempt:
    """The attempt's row, locked after its agreement's."""
    locked = Attempt.objects.select_for_update().get(pk=attempt.pk)
    locked.agreement = agreement
    return locked


def attempt_open(agreement: Agreement, *, number: int, attempt: int = 1) -> Attempt:
    """A new attempt under the agreement's lock. One open attempt each: a constraint."""
    played = agreement.played
    opening = played.opening(
        agreement, number=number, attempt=attempt, checkpoint=_checkpoint_digest()
    )
    opened = timezone.now()
    row = Attempt.objects.create(
        agreement=agreement,
        number=number,
        attempt=attempt,
        context=opening.context.dump(),
        context_digest=opening.context.digest(),
        opened_at=opened,
        deadline=opened + timedelta(seconds=agreement.terms.seconds),
        **opening.columns,
    )
    attempt_event(played.tags.opened, row, digests=opening.digests)
    bell_ring(agreement.slugs())
    return row


def _checkpoint_digest() -> str:
    """SHA-256 of the consortium log's newest checkpoint note; of no bytes before the first."""
    newest = checkpoint_latest()
    return hashlib.sha256(newest.note.encode() if newest else b"").hexdigest()


def attempt_claim(attempt: Attempt, before: Any, **columns: Any) -> bool:
    """Claim a step by a conditional UPDATE, and tell the sites. False where another did."""
    if Attempt.objects.filter(pk=attempt.pk, state__in=before).update(**columns) != 1:
        return False
    agreement = attempt.agreement
    attempt.refresh_from_db()
    attempt.agreement = agreement
    bell_ring(agreement.slugs())
    return True


def attempt_abandon(attempt: Attempt, *, reason: str) -> bool:
    """End an open attempt without a release. True if this call did."""
    columns = {"reason": reason[:1000], "abandoned_at": timezone.now()}
    if not attempt_claim(attempt, Attempt.OPEN, state=State.ABANDONED.value, **columns):
        return False
    tag = attempt.agreement.played.tags.abandoned
    attempt_event(tag, attempt, data={"reason": reason[:1000]})
    return True


def agreement_end(
    agreement: Agreement, *, state: str, reason: str, actor: Actor, signature: str | None = None
) -> bool:
    """End an agreement that has not ended; its open attempt with it. The caller holds its lock.

    False where it had ended before.
    """
    won = Agreement.objects.filter(pk=agreement.pk, ended_at=None).update(
        state=state, reason=reason[:1000], ended_at=timezone.now()
    )
    if not won:
        return False
    agreement.refresh_from_db()
    played = agreement.played
    for attempt in agreement.attempts.filter(state__in=Attempt.OPEN):
        attempt.agreement = agreement
        attempt_abandon(attempt, reason=f"the {played.subject} is {state}")
    agreement_event(
        played.tags.ended[state],
        agreement,
        actor=actor,
        digests=played.ending_digests(agreement),
        data={"reason": reason[:1000]},
        signature=signature,
    )
    bell_ring(agreement.slugs())
    played.over(agreement)
    return True
