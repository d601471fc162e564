"""Taking what sites send for an attempt: checked whole before anything is stored.

The checks and their order are those of ``protocol.arrival``. Only after them is the attempt's row
locked, and what was sent before and the state are looked at again, so that a close never misses
what was acknowledged.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django_tenants.utils import schema_context

from apps.attempts.models import Agreement, Attempt, AttemptMessage, ContributionReceipt
from apps.attempts.selectors.transcripts import attempt_product
from apps.attempts.selectors.view import held_of
from apps.attempts.services.agreements import agreement_end, agreement_lock, attempt_lock
from apps.attempts.services.events import attempt_event
from apps.attempts.services.steps import step_later, step_of
from apps.common.actor import COORDINATOR, Actor
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from federated.errors import TooLarge
from federated.protocol.arrival import (
    AlreadySent,
    arrival_check,
    refusal_check,
    refusal_counts,
    sent_before,
    state_check,
)
from federated.wire.base import Signed
from federated.wire.round import Refusal, Verdict

REFUSALS_MOST = 50


def message_receive(
    message: str,
    *,
    attempt: Attempt,
    organization: str,
    signed: Signed[Any],
    actor: Actor,
    replaces: str | None = None,
) -> bool:
    """Keep an organization's message. True if it is new, False if it was sent before.

    ``message`` is its name, "refusal" among them.

    Where the kind takes replacements, another contribution stands in for the one whose digest
    ``replaces`` names. Raises as protocol.arrival says.
    """
    if message == "refusal":
        return _refusal_receive(
            attempt=attempt, organization=organization, signed=signed, actor=actor
        )
    played = attempt.agreement.played
    with as_coordinator():
        if not arrival_check(
            held_of(attempt),
            message,
            signed,
            sender=organization,
            before=_before(attempt, message, signed, replaces=replaces),
            product=lambda: attempt_product(attempt),
        ):
            return False
        played.beside_check(attempt, message, signed)
    content, digest = signed.canonical(), signed.digest()
    with transaction.atomic():
        with as_coordinator():
            # A verdict may end the agreement, whose lock comes before its attempt's.
            judging = isinstance(signed.body, Verdict)
            agreement = agreement_lock(attempt.agreement_id) if judging else attempt.agreement
            locked = attempt_lock(attempt, agreement)
            held = held_of(locked)
            before = _before(locked, message, signed, replaces=replaces)
            if sent_before(held, message, signed, before=before):
                return False
            state_check(held, message)
            columns: dict[str, Any] = {"content": content, "digest": digest}
            told: dict[str, Any] = {"organization": organization, "bytes": len(content)}
            if judging:
                columns |= {"agrees": signed.body.agrees, "detail": signed.body.detail}
                told["agrees"] = signed.body.agrees
            replaced = {"replaces": replaces} if replaces else {}
            if replaced:
                _mine(locked, message, organization).update(**columns, **replaced)
            else:
                AttemptMessage.objects.create(
                    attempt=locked, name=message, organization=organization, **columns
                )
            attempt_event(
                played.tags.replaced
                if replaced and played.tags.replaced
                else played.messages[message].tag,
                locked,
                actor=actor,
                digests={"message": digest, **replaced},
                data=told,
                signature=digest,
            )
            _follow(agreement, locked, signed)
        if message == held.kind.contribution:
            with schema_context(f"t_{organization}"):
                ContributionReceipt.objects.create(
                    agreement_id=locked.agreement_id,
                    number=locked.number,
                    attempt=locked.attempt,
                    digest=digest,
                    size=len(content),
                    **replaced,
                )
    return True


def _mine(attempt: Attempt, message: str, organization: str) -> Any:
    return attempt.messages.filter(name=message, organization=organization)


def _before(
    attempt: Attempt, message: str, signed: Signed[Any], *, replaces: str | None
) -> str | None:
    """The digest of what stands; None where the message may take its place."""
    organization = signed.body.organization
    rows = _mine(attempt, message, organization)
    before: str | None = rows.values_list("digest", flat=True).first()
    if replaces is None or before == signed.digest():
        return before
    if before != replaces:
        stands = "none" if before is None else before[:16]
        raise AlreadySent(f"replaces: {replaces[:16]}; what {organization} has sent is {stands}.")
    return None


def _follow(agreement: Agreement, attempt: Attempt, signed: Signed[Any]) -> None:
    """What the coordinator does next, now that this is stored."""
    body = signed.body
    bell_ring([body.organization])
    if not isinstance(body, Verdict):
        step_later(attempt, step_of(attempt))
    elif not body.agrees:
        agreement_end(
            agreement,
            state=agreement.played.ended_by_portal,
            reason=(
                f"{body.organization} does not agree with the release of {attempt}: {body.detail}"
            ),
            actor=COORDINATOR,
        )


def _refusal_receive(
    *, attempt: Attempt, organization: str, signed: Signed[Refusal], actor: Actor
) -> bool:
    """Keep a site's signed refusal, whatever it was shown and in any state: it is evidence.

    It counts against the attempt where it names the attempt's own context and cohort. Raises
    TooLarge beyond the most that are kept.
    """
    with as_coordinator():
        refusal_check(held_of(attempt), signed, sender=organization)
    body, digest = signed.body, signed.digest()
    with as_coordinator(), transaction.atomic():
        locked = attempt_lock(attempt, attempt.agreement)
        counts = refusal_counts(held_of(locked), body)
        sent = _mine(locked, "refusal", organization)
        if sent.filter(digest=digest).exists():
            return False
        if sent.count() >= REFUSALS_MOST:
            raise TooLarge(f"{REFUSALS_MOST} refusals of one attempt are kept; no more.")
        AttemptMessage.objects.create(
            attempt=locked,
            name="refusal",
            organization=organization,
            content=signed.canonical(),
            digest=digest,
            reason=body.reason.value,
            detail=body.detail,
            counts=counts,
        )
        attempt_event(
            attempt.agreement.played.messages["refusal"].tag,
            locked,
            actor=actor,
            digests={"refused_context": body.context, "refused_cohort": body.cohort},
            data={"organization": organization, "reason": body.reason.value, "detail": body.detail},
            signature=digest,
        )
        bell_ring(attempt.agreement.slugs())
        if counts:
            step_later(locked, step_of(locked))
    return True
