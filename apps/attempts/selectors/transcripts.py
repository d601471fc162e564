"""An attempt's transcript, put together from the bytes that its sites signed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apps.attempts.models import Agreement, Attempt, AttemptMessage
from federated.errors import NotFound
from federated.protocol.kinds import kind_of
from federated.wire.base import Signed, canonical


def transcript_bytes(attempt: Attempt) -> bytes:
    """The transcript's canonical JSON; the stored bytes go in as they are.

    Raises NotFound before the attempt closed with a cohort.
    """
    played = attempt.agreement.played
    if attempt.cohort is None:
        noun = played.noun
        raise NotFound(f"This {noun} has no transcript: it has not closed with a cohort.")
    parts = {
        "context": canonical(attempt.context),
        "receipts": contents(attempt.messages.filter(name="receipt")),
        "release": b"null" if attempt.release is None else canonical(attempt.release),
        "shares": contents(attempt.messages.filter(name="share")),
        "spec": canonical(attempt.agreement.spec if attempt.spec is None else attempt.spec),
        **played.transcript_parts(attempt),
    }
    return b"{" + b",".join(b'"%s":%s' % (k.encode(), parts[k]) for k in sorted(parts)) + b"}"


def transcript_of(attempt: Attempt) -> Any:
    """The transcript as a message. Raises NotFound before the attempt closed."""
    return attempt.agreement.played.transcript_type.parse(transcript_bytes(attempt))


def attempt_product(attempt: Attempt) -> list[int]:
    """The ciphertexts that trustees decrypt: kept where the kind computes them early."""
    kept = attempt.agreement.played.product_kept(attempt)
    if kept is not None:
        return kept
    return kind_of(attempt.terms).product(transcript_of(attempt), agreement=attempt.terms)


def contents(messages: Iterable[AttemptMessage]) -> bytes:
    """The stored bytes as an array."""
    return array(bytes(row.content) for row in messages)


def array(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def signed_messages(agreement: Agreement, name: str, attempts: Any = None) -> tuple[Any, ...]:
    """The messages of a name for an agreement's attempts, or for these of them."""
    wire = agreement.played.messages[name].wire
    rows = AttemptMessage.objects.filter(name=name, attempt__agreement_id=agreement.pk)
    if attempts is not None:
        rows = rows.filter(attempt__in=attempts)
    return tuple(Signed[wire].parse(bytes(row.content)) for row in rows)  # type: ignore[valid-type]
