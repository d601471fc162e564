"""A run's transcript, put together from the bytes that its sites signed."""

from __future__ import annotations

from typing import Any

from apps.benchmarks.models import Run
from federated.errors import NotFound
from federated.wire.base import canonical
from federated.wire.campaign import CampaignTranscript


def run_transcript_bytes(row: Run) -> bytes:
    """The transcript's canonical JSON; the stored bytes go in as they are.

    Noise that arrived after the noised cohort was fixed is no part of it. Raises NotFound before
    the run closed with a cohort.
    """
    if row.cohort is None:
        raise NotFound("This run has no transcript: it has not closed with a cohort.")
    members = row.members
    noise = row.noises.all()
    if row.noised is not None:
        noise = noise.filter(organization__in=row.noised["noise"])
    whole = row.expired_at is None
    parts = {
        "approvals": _array([canonical(row.approvals[name]) for name in members]),
        "context": canonical(row.context),
        "expired": b"null" if whole else _expired(row, noise),
        "noise": _contents(noise) if whole else b"[]",
        "receipts": _contents(row.runreceipts.all()),
        "release": b"null" if row.release is None else canonical(row.release),
        "shares": _contents(row.runshares.all()),
        "spec": canonical(row.spec),
        "submissions": _contents(row.submissions.all()) if whole else b"[]",
    }
    return b"{" + b",".join(b'"%s":%s' % (k.encode(), v) for k, v in parts.items()) + b"}"


def run_transcript(row: Run) -> CampaignTranscript:
    """The transcript as a message. Raises NotFound before the run closed."""
    return CampaignTranscript.parse(run_transcript_bytes(row))


def _expired(row: Run, noise: Any) -> bytes:
    def left(rows: Any) -> list[dict[str, str]]:
        of = rows.values_list("organization", "digest")
        return [{"envelope": digest, "organization": name} for name, digest in of]

    return canonical({"noise": left(noise), "submissions": left(row.submissions.all())})


def _contents(messages: Any) -> bytes:
    return _array([bytes(row.content) for row in messages])


def _array(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"
