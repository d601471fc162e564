"""Ciphertexts go when the retention of what they were sent for is over; their digests stay.

The key's trustees together could open them as long as they are stored: a noise share is as telling
as a vote, for it comes off the released sums. What is left says which contributions a cohort had,
and the shares still lead to what was released.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.attempts.models import Agreement, Attempt, AttemptMessage
from apps.attempts.played import Played, all_played
from apps.attempts.services.events import agreement_event, attempt_event
from apps.common.coordinator import as_coordinator
from federated.errors import DomainError
from federated.wire.base import Signed

MOST = 50
log = logging.getLogger(__name__)


def ciphertexts_expire() -> int:
    """Delete what is past its retention; of how many agreements and attempts.

    Takes a few a call; whoever dies on the way leaves the rest to the next call. What cannot be
    deleted is logged, and keeps nothing else.
    """
    with as_coordinator():
        due = [(played, pk) for played, kinds in all_played().items() for pk in _due(played, kinds)]
        return sum(_expired(played, pk) for played, pk in due)


def _expired(played: Played, pk: Any) -> bool:
    try:
        return _expire(played, pk)
    except (DomainError, OSError):
        log.exception("the ciphertexts of %s %s cannot be deleted", played.subject, pk)
        return False


def _due(played: Played, kinds: list[str]) -> list[Any]:
    """The agreements or, where each attempt's go by themselves, the attempts."""
    before = timezone.now() - timedelta(days=played.retention_days())
    name = next(iter(played.expiring))
    rows: QuerySet[Any]
    if played.expires_whole:
        rows = Agreement.objects.filter(kind__in=kinds, attempts__messages__name=name)
        rows = rows.annotate(end=F("ended_at"))
    else:
        rows = Attempt.objects.filter(agreement__kind__in=kinds, messages__name=name)
        rows = rows.annotate(end=Coalesce("released_at", "abandoned_at"))
    due = rows.filter(end__lt=before, expired_at=None).order_by("end")
    return list(due.values_list("pk", flat=True).distinct()[:MOST])


def _expire(played: Played, pk: Any) -> bool:
    """Files first: what is marked has none left. False if another call was quicker."""
    moment = timezone.now()
    model, of = (Agreement, "agreement_id") if played.expires_whole else (Attempt, "pk")
    attempts = Attempt.objects.filter(**{of: pk})
    for attempt in attempts.select_related("agreement").defer("product"):
        played.expire_beside(attempt)
    with transaction.atomic():
        if not model.objects.filter(pk=pk, expired_at=None).update(expired_at=moment):
            return False
        attempts.update(expired_at=moment, product=None)
        counts = {told: _empty(played, attempts, name) for name, told in played.expiring.items()}
        row: Any = model.objects.get(pk=pk)
        told: dict[str, Any] = {
            **counts,
            "ended_at": row.ended_at.isoformat() if row.ended_at else "",
        }
        if played.expires_whole:
            agreement_event(played.tags.expired, row, data=told)
        else:
            attempt_event(played.tags.expired, row, data=told)
        return True


def _empty(played: Played, attempts: QuerySet[Attempt], name: str) -> int:
    """Empty the messages of that name, and keep what the kind says of them; how many."""
    rows = AttemptMessage.objects.filter(attempt__in=attempts, name=name).exclude(content=b"")
    wire, count = played.messages[name].wire, 0
    for row in rows.iterator(chunk_size=20):
        remains = played.remains(Signed[wire], bytes(row.content))  # type: ignore[valid-type]
        kept = None if remains is None else remains.dump()
        count += AttemptMessage.objects.filter(pk=row.pk).update(content=b"", expired=kept)
    return count
