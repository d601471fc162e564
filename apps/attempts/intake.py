"""Taking what sites send for an attempt: checked whole before anything is stored.

The checks and their order are those of ``protocol.arrival``. Only after them is the attempt's row
locked, and what was sent before and the state are looked at again, so that a close never misses
what was acknowledged.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.attempts.steps import Played
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.common.signed import refusal_keep
from apps.keys.bell import bell_ring
from federated.protocol.arrival import (
    AlreadySent,
    arrival_check,
    refusal_check,
    refusal_counts,
    sent_before,
    state_check,
)
from federated.protocol.attempt import Wait, advance
from federated.wire.base import Signed
from federated.wire.round import Refusal, Verdict


def message_receive(
    attempts: Played,
    message: str,
    *,
    row: Any,
    organization: str,
    signed: Signed[Any],
    actor: Actor,
    replaces: str | None = None,
) -> bool:
    """Keep an organization's message. True if it is new, False if it was sent before.

    ``message`` is its name, "refusal" among them.

    Where the app takes replacements, another contribution stands in for the one whose digest
    ``replaces`` names. Raises as protocol.arrival says.
    """
    if message == "refusal":
        return _refusal_receive(
            attempts, row=row, organization=organization, signed=signed, actor=actor
        )
    with as_coordinator():
        held = attempts.held(row)
        if not arrival_check(
            held,
            message,
            signed,
            sender=organization,
            before=_before(attempts, message, row, signed, replaces=replaces),
            product=lambda: attempts.product(row),
        ):
            return False
        attempts.beside_check(row, message, signed)
    content, digest = signed.canonical(), signed.digest()
    with transaction.atomic():
        with as_coordinator():
            # A verdict may end the job or campaign, whose lock comes before its attempt's.
            judging = isinstance(signed.body, Verdict)
            owner = attempts.lock(row) if judging else getattr(row, attempts.owner)
            locked = attempts.rows.objects.select_for_update().get(pk=row.pk)  # type: ignore[attr-defined]
            setattr(locked, attempts.owner, owner)
            held = attempts.held(locked)
            before = _before(attempts, message, locked, signed, replaces=replaces)
            if sent_before(held, message, signed, before=before):
                return False
            state_check(held, message)
            columns: dict[str, Any] = {}
            if judging:
                columns = {"agrees": signed.body.agrees, "detail": signed.body.detail}
            kept = {"content": content, "digest": digest, **columns}
            if replaces:
                mine = attempts.sent(locked, message).filter(organization=organization)
                mine.update(**kept, replaces=replaces)
            else:
                attempts.messages[message].objects.create(  # type: ignore[attr-defined]
                    **{attempts.field: locked}, organization=organization, **kept
                )
            attempts.event(
                attempts.replaced if replaces and attempts.replaced else attempts.accepted[message],
                locked,
                actor=actor,
                digests={"message": digest} | ({"replaces": replaces} if replaces else {}),
                data={"organization": organization, "bytes": len(content)}
                | ({"agrees": columns["agrees"]} if judging else {}),
                signature=digest,
            )
            _follow(attempts, owner, locked, signed)
        if message == held.kind.contribution:
            more = {"replaces": replaces} if replaces else {}
            attempts.receipt_keep(locked, organization, digest=digest, size=len(content), **more)
    return True


def _before(
    attempts: Played, message: str, row: Any, signed: Signed[Any], *, replaces: str | None
) -> str | None:
    """The digest of what stands; None where the message may take its place."""
    organization = signed.body.organization
    rows = attempts.sent(row, message).filter(organization=organization)
    before: str | None = rows.values_list("digest", flat=True).first()
    if replaces is None or before == signed.digest():
        return before
    if before != replaces:
        stands = "none" if before is None else before[:16]
        raise AlreadySent(f"replaces: {replaces[:16]}; what {organization} has sent is {stands}.")
    return None


def _follow(attempts: Played, owner: Any, row: Any, signed: Signed[Any]) -> None:
    """What the coordinator does next, now that this is stored."""
    body = signed.body
    bell_ring([body.organization])
    if isinstance(body, Verdict):
        if not body.agrees:
            why = f"{body.organization} does not agree with the release of {row}: {body.detail}"
            attempts.disagreed(owner, why)
        return
    step = advance(attempts.view(row), now=timezone.now().timestamp())
    if not isinstance(step, Wait):
        attempts.later(row, step)


def _refusal_receive(
    attempts: Played, *, row: Any, organization: str, signed: Signed[Refusal], actor: Actor
) -> bool:
    """Keep a site's signed refusal, whatever it was shown and in any state: it is evidence.

    It counts against the attempt where it names the attempt's own context and cohort.
    """
    with as_coordinator():
        refusal_check(attempts.held(row), signed, sender=organization)
    body = signed.body
    with as_coordinator(), transaction.atomic():
        owner = getattr(row, attempts.owner)
        locked = attempts.rows.objects.select_for_update().get(pk=row.pk)  # type: ignore[attr-defined]
        setattr(locked, attempts.owner, owner)
        counts = refusal_counts(attempts.held(locked), body)
        if not refusal_keep(
            attempts.messages["refusal"].objects.filter(**{attempts.field: locked}),  # type: ignore[attr-defined]
            of={attempts.field: locked},
            organization=organization,
            signed=signed,
            counts=counts,
        ):
            return False
        attempts.event(
            attempts.refused,
            locked,
            actor=actor,
            digests={"refused_context": body.context, "refused_cohort": body.cohort},
            data={"organization": organization, "reason": body.reason.value, "detail": body.detail},
            signature=signed.digest(),
        )
        bell_ring(owner.slugs())
        if counts:
            step = advance(attempts.view(locked), now=timezone.now().timestamp())
            if not isinstance(step, Wait):
                attempts.later(locked, step)
    return True
