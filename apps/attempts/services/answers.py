"""The answers of organizations to a spec: their sites' signed ones, and their people's."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.attempts.models import Agreement, Participant
from apps.attempts.selectors.agreements import agreements_of
from apps.attempts.services.agreements import agreement_lock
from apps.attempts.services.events import agreement_event
from apps.budgets.selectors import budget_check
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from federated.errors import InvalidInput
from federated.protocol.agreement import AnyAgreement
from federated.protocol.arrival import AlreadySent, sender_check
from federated.protocol.checks import approval_check
from federated.protocol.refused import Refused
from federated.wire.base import Signed

PENDING, APPROVED, DECLINED = Participant.State


def participants_make(agreement: Agreement) -> None:
    """A part, without an answer, for each participant of the present spec."""
    agreement.participants.all().delete()
    Participant.objects.bulk_create(
        Participant(agreement_id=agreement.pk, organization=slug) for slug in agreement.slugs()
    )


def approve(agreement: Agreement, *, organization: str, signed: Signed[Any], actor: Actor) -> bool:
    """Keep a site's countersignature of the present spec. True if it is new."""
    sender_check(signed, sender=organization)
    try:
        approval_check(signed, agreement=agreement.terms)
    except Refused as error:
        raise InvalidInput(error.message, reason=error.reason.value) from error
    return _answer(agreement, signed, state=APPROVED, reason="", actor=actor)


def decline(agreement: Agreement, *, organization: str, signed: Signed[Any], actor: Actor) -> bool:
    """Keep a site's signed no. True if it is new."""
    statement_check(agreement, signed, sender=organization)
    return _answer(agreement, signed, state=DECLINED, reason=signed.body.reason, actor=actor)


def statement_check(agreement: Agreement, signed: Signed[Any], *, sender: str) -> None:
    """Check that a participant signed it, of this agreement and its present spec."""
    sender_check(signed, sender=sender)
    name = f"{agreement.played.subject}_id"
    if (getattr(signed.body, name), signed.body.spec) != (
        str(agreement.pk),
        agreement.spec_digest,
    ):
        raise InvalidInput(
            f"{name}, spec: of another {agreement.played.subject} than {agreement.pk}"
        )
    agreement.terms.verify(signed)


def _answer(
    agreement: Agreement, signed: Signed[Any], *, state: str, reason: str, actor: Actor
) -> bool:
    organization, played = signed.body.organization, agreement.played
    with as_coordinator(), transaction.atomic():
        locked = agreement_lock(agreement.pk)
        if locked.spec_digest != signed.body.spec:
            raise played.closed_error(
                f"The {played.subject} was changed meanwhile; fetch and approve it again."
            )
        part = locked.participants.get(organization=organization)
        if part.answer == signed.dump():
            return False
        if part.state in played.final:
            raise AlreadySent(f"{organization} has {part.state} this {played.subject} before.")
        if locked.state != played.answerable:
            raise played.closed_error(
                f"The {played.subject} is {locked.state}; nothing is to be approved."
            )
        part.state, part.reason = state, reason
        part.answer, part.answered_at = signed.dump(), timezone.now()
        part.save(update_fields=["state", "reason", "answer", "answered_at"])
        bell_ring([organization])
        played.answered(locked, part, signed, actor)
        return True


def endorse(agreement: Agreement, *, organization: str, actor: Actor) -> bool:
    """A person lets the organization's site approve, where its policy waits for one.

    The site still decides and signs. Raises BudgetExceeded by the mirrored ledger, saying what is
    left and when it renews, and the kind's Closed where there is nothing to approve.
    """
    own_budget_check(agreement.terms, organization=organization)
    with as_coordinator(), transaction.atomic():
        locked, part = to_answer(agreement, organization)
        if part.endorsed_by is not None and part.state == PENDING:
            return False
        part.endorsed_by, part.state = actor.snapshot(), PENDING
        part.save(update_fields=["endorsed_by", "state"])
        agreement_event(
            locked.played.tags.endorsed, locked, actor=actor, data={"organization": organization}
        )
        bell_ring(locked.slugs())
        return True


def to_answer(agreement: Agreement, organization: str) -> tuple[Any, Participant]:
    """The locked agreement and the organization's part. Raises the kind's Closed."""
    locked = agreement_lock(agreement.pk)
    played = locked.played
    part = locked.participants.get(organization=organization)
    if locked.state != played.answerable or part.state in played.final:
        raise played.closed_error(
            f"The {played.subject} is {locked.state}, {organization} has {part.state} it."
        )
    return locked, part


def own_budget_check(terms: AnyAgreement, *, organization: str) -> None:
    """Raises BudgetExceeded where the organization's mirrored ledger has too little left."""
    # Of any kind: a site counts a proposer's queries by account.
    before: QuerySet[Agreement] = agreements_of(organization).filter(proposer=terms.proposer)
    budget_check(
        organization=organization,
        cost=terms.whole_cost,
        proposer=terms.proposer,
        pure_epsilon=terms.releases * terms.pure_epsilon,
        proposed=before.exclude(pk=terms.id),
    )
