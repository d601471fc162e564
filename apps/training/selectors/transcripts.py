"""An attempt's transcript, put together from the bytes that its sites signed."""

from __future__ import annotations

from typing import Any

from apps.training.models import Job, Round, RoundMessage
from federated.errors import NotFound
from federated.wire.base import canonical
from federated.wire.round import Transcript


def transcript_bytes(row: Round) -> bytes:
    """The transcript's canonical JSON; the stored bytes go in as they are.

    Raises NotFound before the attempt closed with a cohort.
    """
    if row.cohort is None:
        raise NotFound("This attempt has no transcript: it has not closed with a cohort.")
    parts = {
        "approvals": _array(_approvals(row.job)),
        "context": canonical(row.context),
        "contributions": _array(_contents(row.contributions.filter(expired__isnull=True))),
        "expired": _array([canonical(remains) for remains in _expired(row)]),
        "receipts": _array(_contents(row.receipts)),
        "release": b"null" if row.release is None else canonical(row.release),
        "shares": _array(_contents(row.shares)),
        "spec": canonical(row.job.spec),
    }
    return b"{" + b",".join(b'"%s":%s' % (k.encode(), v) for k, v in parts.items()) + b"}"


def transcript_of(row: Round) -> Transcript:
    """The transcript as a message. Raises NotFound before the attempt closed."""
    return Transcript.parse(transcript_bytes(row))


def _expired(row: Round) -> list[Any]:
    rows = row.contributions.filter(expired__isnull=False)
    return list(rows.values_list("expired", flat=True))


def _approvals(job: Job) -> list[bytes]:
    answers = job.participants.filter(state="approved", answer__isnull=False)
    return [canonical(a) for a in answers.values_list("answer", flat=True)]


def _contents(messages: object) -> list[bytes]:
    rows: list[RoundMessage] = list(messages.all())  # type: ignore[attr-defined]
    return [bytes(row.content) for row in rows]


def _array(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"
