"""Agreements and attempts as one organization may see them."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Prefetch, QuerySet

from apps.attempts.models import Agreement, Attempt, AttemptMessage, Participant
from apps.attempts.played import Played, kinds_of, played_of
from apps.common.selectors import get_for
from federated.errors import NotFound

A = TypeVar("A", bound=Agreement)


def agreements_of(organization: str, model: type[A] = Agreement) -> QuerySet[A]:  # type: ignore[assignment]
    """The agreements that an organization may take part in, newest first.

    ``model`` is an app's own, for those of its kinds.
    """
    parts = Participant.objects.filter(organization=organization)
    return model.objects.filter(pk__in=parts.values("agreement_id"))


def agreement_get_for(model: type[A], *, organization: str, pk: Any) -> A:
    """Raises NotFound for another organization's, too."""
    return get_for(agreements_of(organization, model), pk=pk)


def agreement_played_for(played: Played, *, organization: str, pk: Any) -> Agreement:
    """The same of its kinds alone: ``played.model`` may hold others' agreements, too."""
    rows = agreements_of(organization, played.model)
    return get_for(rows.filter(kind__in=kinds_of(played)), pk=pk)


def attempt_get_for(
    played: Played, *, organization: str, pk: Any, number: int, attempt: int = 1
) -> Attempt:
    """An attempt of the agreement ``pk``. Raises NotFound for another organization's, too."""
    agreement = agreement_played_for(played, organization=organization, pk=pk)
    row = Attempt.objects.filter(agreement_id=pk, number=number, attempt=attempt).first()
    if row is None:
        raise NotFound(f"No such {agreement.terms.RELEASE}.")
    row.agreement = agreement
    return row


def attempt_last(agreement: Agreement) -> Attempt | None:
    """An agreement's newest attempt, without what is large."""
    newest = agreement.attempts.defer("approvals", "product").order_by("-number", "-attempt")
    row: Attempt | None = newest.first()
    if row is not None:
        row.agreement = agreement
    return row


def attempts_told(agreement: Agreement) -> list[Any]:
    """The attempts of one, newest first, each with what was sent for it as ``told``, by name.

    Without what is large.
    """
    told = AttemptMessage.objects.defer("content", "expired").order_by(
        "name", "organization", "created_at"
    )
    attempts = agreement.attempts.defer("product", "release").order_by("-number", "-attempt")
    rows = list(attempts.prefetch_related(Prefetch("messages", told, to_attr="told")))
    for row in rows:
        row.agreement = agreement
    return rows


def under_key(digest: str) -> QuerySet[Agreement]:
    """What works under a key and has not ended: what waits counts, for it may run yet."""
    return Agreement.objects.filter(key_epoch=digest, ended_at=None)


def key_uses(digest: str) -> list[str]:
    """The same for people, jobs first."""
    rows = under_key(digest).values_list("kind", "pk")
    names = [f"{played_of(kind).subject} {pk}" for kind, pk in rows]
    return sorted(names, key=lambda name: not name.startswith("job"))


def time_text(value: Any) -> str | None:
    """A moment in the API."""
    return None if value is None else value.isoformat()
