"""The steps of an attempt: due by ``protocol.attempt``, taken by conditional UPDATEs.

A step is one transaction that locks the agreement's row first, then the attempt's. A process that
dies anywhere leaves the state before the step, and the next tick takes it again. Any worker may
take a step that is due; a conditional UPDATE picks one. All runs as the coordinator.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.attempts.models import Attempt
from apps.attempts.played import Made
from apps.attempts.queue import enqueue
from apps.attempts.selectors.view import held_of, view_of
from apps.attempts.services.agreements import (
    agreement_lock,
    attempt_abandon,
    attempt_claim,
    attempt_lock,
)
from apps.attempts.services.events import attempt_event
from apps.common.coordinator import as_coordinator
from federated.errors import DomainError, NotFound
from federated.protocol.attempt import (
    Abandon,
    Charged,
    Close,
    Noised,
    Release,
    State,
    Step,
    Wait,
    advance,
)
from federated.wire.campaign import NoisedCohort

LEASE_SECONDS = 30


def attempt_get(attempt_id: Any) -> Attempt:
    """An attempt for a worker. Raises NotFound."""
    row = Attempt.objects.select_related("agreement").filter(pk=attempt_id).first()
    if row is None:
        raise NotFound("No such attempt.")
    return row


def attempt_advance(attempt_id: Any) -> None:
    """Take the step of one attempt that is due, if one is. Safe any number of times."""
    with as_coordinator():
        attempt = attempt_get(attempt_id)
        step = step_of(attempt)
        if isinstance(step, Release):
            step_later(attempt, step)
        elif not isinstance(step, Wait):
            _step(attempt)


def step_of(attempt: Attempt) -> Step:
    """What is due now."""
    return advance(view_of(attempt), now=timezone.now().timestamp())


def step_later(attempt: Attempt, step: Step) -> None:
    """Enqueue a step that is due, if one is."""
    if not isinstance(step, Wait):
        task = "attempts.release" if isinstance(step, Release) else "attempts.advance"
        enqueue(task, attempt.pk)


def _step(attempt: Attempt) -> None:
    with transaction.atomic():
        agreement = agreement_lock(attempt.agreement_id)
        locked = attempt_lock(attempt, agreement)
        if agreement.ended:
            return
        # What was seen before the locks may have changed: a contribution holds the attempt's row
        # while it is stored, so that here every accepted one is visible.
        if _take(locked, step_of(locked)):
            agreement.played.ended(agreement)


def _take(attempt: Attempt, step: Step) -> bool:
    """True if the attempt is over by it."""
    now, played = timezone.now(), attempt.agreement.played
    match step:
        case Close(members):
            kind = held_of(attempt).kind
            cohort = kind.cohort(context=attempt.context_digest, members=members)
            fixed = {"cohort": cohort.dump(), "cohort_digest": cohort.digest()}
            if _enter(attempt, State.CHARGING, closed_at=now, **fixed):
                played.closed(attempt, members)
        case Charged(state):
            if _enter(attempt, state, charged_at=now):
                attempt_event(played.tags.charged, attempt)
        case Noised(noise):
            noised = NoisedCohort(
                context=attempt.context_digest, cohort=attempt.cohort_digest, noise=dict(noise)
            )
            fixed = {"noised": noised.dump(), "noised_digest": noised.digest()}
            if _enter(attempt, State.DECRYPTING, noised_at=now, **fixed):
                assert played.tags.noised is not None
                attempt_event(played.tags.noised, attempt, digests=noise)
        case Abandon(reason):
            return attempt_abandon(attempt, reason=reason)
    return False


def _enter(attempt: Attempt, state: State, **columns: Any) -> bool:
    deadline = timezone.now() + timedelta(seconds=attempt.terms.seconds)
    return attempt_claim(attempt, [attempt.state], state=state.value, deadline=deadline, **columns)


# Releasing.


def attempt_release(attempt_id: Any) -> bool:
    """decrypting -> released: combine the shares, open what follows. True if this call released.

    The result is a function of the transcript, so that doing it twice does no harm; the lease only
    keeps two workers from doing it at once.
    """
    with as_coordinator():
        attempt = attempt_get(attempt_id)
        played = attempt.agreement.played
        shares = attempt.messages.filter(name="share").count()
        if shares < attempt.terms.threshold or not played.releasable(attempt):
            return False
        if not lease_take(attempt):
            return False
        try:
            made = played.release(attempt)
        except DomainError as error:
            release_fail(attempt, error)
            return False
        return _store(attempt, made)


def lease_take(attempt: Attempt) -> bool:
    moment = timezone.now()
    free = Q(leased_until=None) | Q(leased_until__lt=moment)
    mine = Attempt.objects.filter(free, pk=attempt.pk, state=State.DECRYPTING.value)
    return mine.update(leased_until=moment + timedelta(seconds=LEASE_SECONDS)) == 1


def _store(attempt: Attempt, made: Made) -> bool:
    with transaction.atomic():
        agreement = agreement_lock(attempt.agreement_id)
        attempt.agreement = agreement
        if agreement.ended or not attempt_claim(
            attempt,
            [State.DECRYPTING.value],
            state=State.RELEASED.value,
            released_at=timezone.now(),
            release=made.release.dump(),
            **made.columns,
        ):
            return False
        if made.keep is not None:
            made.keep(agreement)
        attempt_event(
            agreement.played.tags.released,
            attempt,
            digests={"release": made.release.digest(), **made.digests},
            data=made.data,
        )
        agreement.played.ended(agreement)
        return True


def release_fail(attempt: Attempt, error: DomainError) -> None:
    """Abandon an attempt whose shares do not combine, and open what follows."""
    with transaction.atomic():
        agreement = agreement_lock(attempt.agreement_id)
        locked = attempt_lock(attempt, agreement)
        reason = f"there can be no release: {error.message}"
        if not agreement.ended and attempt_abandon(locked, reason=reason):
            agreement.played.ended(agreement)
