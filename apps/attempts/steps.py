"""The steps of an attempt: due by ``protocol.attempt``, taken by conditional UPDATEs.

A step is one transaction that locks the job's or campaign's row first, then the attempt's. A
process that dies anywhere leaves the state before the step, and the next tick takes it again. Any
worker may take a step that is due; a conditional UPDATE picks one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.attempts.source import Attempts
from apps.keys.bell import bell_ring
from apps.provenance.tags import Tag
from federated.errors import DomainError
from federated.protocol.attempt import (
    OPEN,
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
from federated.wire.base import Signed
from federated.wire.campaign import NoisedCohort

LEASE_SECONDS = 30


class Played(Attempts):
    """An app's attempts, and what the app itself does at each step."""

    accepted: ClassVar[Mapping[str, Tag]]
    """The event of each message."""
    refused: ClassVar[Tag]
    replaced: ClassVar[Tag | None] = None
    """The event of a contribution that replaces another, where one may."""
    steps: ClassVar[Mapping[type[Step], Tag]]
    """The events of Charged, Noised and Abandon."""

    @abstractmethod
    def lock(self, row: Any) -> Any:
        """Lock and return the attempt's job or campaign: always a step's first lock."""

    @abstractmethod
    def running(self, owner: Any) -> bool:
        """Whether its attempts may still take steps."""

    @abstractmethod
    def event(self, tag: Tag, row: Any, **fields: Any) -> None:
        """Record an event of an attempt."""

    @abstractmethod
    def closed(self, row: Any, members: Mapping[str, str]) -> None:
        """Record the close, and begin what follows from it."""

    @abstractmethod
    def ended(self, owner: Any) -> None:
        """Open what follows from the attempt that has just ended."""

    @abstractmethod
    def later(self, row: Any, step: Step) -> None:
        """Enqueue the step, which is due."""

    @abstractmethod
    def product(self, row: Any) -> list[int]:
        """The ciphertexts that trustees decrypt."""

    @abstractmethod
    def beside_check(self, row: Any, message: str, signed: Signed[Any]) -> None:
        """Check what travels next to a message."""

    @abstractmethod
    def receipt_keep(self, row: Any, organization: str, **fields: Any) -> None:
        """Keep a receipt of a contribution in the organization's own schema."""

    @abstractmethod
    def disagreed(self, owner: Any, reason: str) -> None:
        """End the job or campaign: a site does not agree with a release."""


def attempt_advance(attempts: Played, row: Any) -> None:
    """Take the step of one attempt that is due, if one is. Runs as the coordinator."""
    step = advance(attempts.view(row), now=timezone.now().timestamp())
    if isinstance(step, Release):
        attempts.later(row, step)
    elif not isinstance(step, Wait):
        attempt_step(attempts, row)


def attempt_step(attempts: Played, row: Any) -> None:
    """Take the step that is due under the locks, if one still is."""
    with transaction.atomic():
        owner, locked = _locked(attempts, row)
        if not attempts.running(owner):
            return
        # What was seen before the locks may have changed: a contribution holds the attempt's row
        # while it is stored, so that here every accepted one is visible.
        step = advance(attempts.view(locked), now=timezone.now().timestamp())
        if _take(attempts, locked, step):
            attempts.ended(owner)


def _locked(attempts: Played, row: Any) -> tuple[Any, Any]:
    owner = attempts.lock(row)
    locked = attempts.rows.objects.select_for_update().get(pk=row.pk)  # type: ignore[attr-defined]
    setattr(locked, attempts.owner, owner)
    return owner, locked


def _take(attempts: Played, row: Any, step: Step) -> bool:
    """True if the attempt is over by it."""
    now = timezone.now()
    match step:
        case Close(members):
            cohort = attempts.held(row).kind.cohort(context=row.context_digest, members=members)
            fixed = {"cohort": cohort.dump(), "cohort_digest": cohort.digest()}
            if _enter(attempts, row, State.CHARGING, closed_at=now, **fixed):
                attempts.closed(row, members)
        case Charged(state):
            if _enter(attempts, row, state, charged_at=now):
                attempts.event(attempts.steps[Charged], row)
        case Noised(noise):
            noised = NoisedCohort(
                context=row.context_digest, cohort=row.cohort_digest, noise=dict(noise)
            )
            fixed = {"noised": noised.dump(), "noised_digest": noised.digest()}
            if _enter(attempts, row, State.DECRYPTING, noised_at=now, **fixed):
                attempts.event(attempts.steps[Noised], row, digests=dict(noise))
        case Abandon(reason):
            return attempt_abandon(attempts, row, reason=reason)
    return False


def _enter(attempts: Played, row: Any, state: State, **fields: Any) -> bool:
    seconds = attempts.held(row).agreement.seconds
    fields["deadline"] = timezone.now() + timedelta(seconds=seconds)
    return _update(attempts, row, [row.state], state=attempts.stored(state), **fields)


def _update(attempts: Played, row: Any, before: list[str], **fields: Any) -> bool:
    """Claim a step by a conditional UPDATE, and tell the sites. False where another did."""
    mine = attempts.rows.objects.filter(pk=row.pk, state__in=before)  # type: ignore[attr-defined]
    if mine.update(**fields) != 1:
        return False
    owner = getattr(row, attempts.owner)
    row.refresh_from_db()
    setattr(row, attempts.owner, owner)
    bell_ring(owner.slugs())
    return True


def attempt_abandon(attempts: Played, row: Any, *, reason: str) -> bool:
    """End an open attempt without a release. True if this call did. The caller holds the locks."""
    if not _update(
        attempts,
        row,
        [attempts.stored(state) for state in OPEN],
        state=attempts.stored(State.ABANDONED),
        reason=reason[:1000],
        abandoned_at=timezone.now(),
    ):
        return False
    attempts.event(attempts.steps[Abandon], row, data={"reason": reason[:1000]})
    return True


# Releasing.


def lease_take(attempts: Played, row: Any) -> bool:
    """Keep other workers from combining the shares at the same time, for a while.

    A release is a function of the transcript, so that doing it twice does no harm.
    """
    moment = timezone.now()
    return bool(
        attempts.rows.objects.filter(pk=row.pk, state=attempts.stored(State.DECRYPTING))  # type: ignore[attr-defined]
        .filter(Q(leased_until=None) | Q(leased_until__lt=moment))
        .update(leased_until=moment + timedelta(seconds=LEASE_SECONDS))
        == 1
    )


def release_store(attempts: Played, row: Any, **fields: Any) -> bool:
    """decrypting -> released with these columns. False where another did."""
    return _update(
        attempts,
        row,
        [attempts.stored(State.DECRYPTING)],
        state=attempts.stored(State.RELEASED),
        released_at=timezone.now(),
        **fields,
    )


def release_fail(attempts: Played, row: Any, error: DomainError) -> None:
    """Abandon an attempt whose shares do not combine, and open what follows."""
    with transaction.atomic():
        owner, locked = _locked(attempts, row)
        reason = f"there can be no release: {error.message}"
        if attempts.running(owner) and attempt_abandon(attempts, locked, reason=reason):
            attempts.ended(owner)
