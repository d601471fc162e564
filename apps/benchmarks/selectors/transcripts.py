"""A run's transcript, put together from the bytes that its sites signed."""

from __future__ import annotations

from typing import Any

from apps.benchmarks.models import Run
from federated.errors import NotFound
from federated.wire.base import canonical
from federated.wire.campaign import CampaignTranscript


def run_transcript_bytes(found: Run) -> bytes:
    """The transcript's canonical JSON; the stored bytes go in as they are.

    Noise that arrived after the noised cohort was fixed is no part of it. Raises NotFound before
    the run closed with a cohort.
    """
    if found.cohort is None:
        raise NotFound("This run has no transcript: it has not closed with a cohort.")
    members = found.members
    noise = found.noises.all()
    if found.noised is not None:
        noise = noise.filter(organization__in=found.noised["noise"])
    whole = found.expired_at is None
    parts = {
        "approvals": _array([canonical(found.approvals[name]) for name in members]),
        "context": canonical(found.context),
        "expired": b"null" if whole else _expired(found, noise),
        "noise": _contents(noise) if whole else b"[]",
        "receipts": _contents(found.runreceipts.all()),
        "release": b"null" if found.release is None else canonical(found.release),
        "shares": _contents(found.runshares.all()),
        "spec": canonical(found.spec),
        "submissions": _contents(found.submissions.all()) if whole else b"[]",
    }
    return b"{" + b",".join(b'"%s":%s' % (k.encode(), v) for k, v in parts.items()) + b"}"


def run_transcript(found: Run) -> CampaignTranscript:
    """The transcript as a message. Raises NotFound before the run closed."""
    return CampaignTranscript.parse(run_transcript_bytes(found))


def _expired(found: Run, noise: Any) -> bytes:
    def left(rows: Any) -> list[dict[str, str]]:
        of = rows.values_list("organization", "digest")
        return [{"envelope": digest, "organization": name} for name, digest in of]

    return canonical({"noise": left(noise), "submissions": left(found.submissions.all())})


def _contents(messages: Any) -> bytes:
    return _array([bytes(row.content) for row in messages])


def _array(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"
