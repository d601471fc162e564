"""Reads the finished job from the portal's tables, as their owner."""

from __future__ import annotations

import statistics
from typing import Any

from apps.attempts.models import Attempt, AttemptMessage
from apps.provenance.models import Anchor, Event, Leaf


def bytes_by_kind(job_id: str) -> dict[str, int]:
    """Bytes of the signed messages that the sites sent for the job."""
    sent = AttemptMessage.objects.filter(attempt__agreement_id=job_id)
    return {
        f"{name}s": sum(
            len(bytes(content))
            for content in sent.filter(name=name).values_list("content", flat=True)
        )
        for name in ("contribution", "receipt", "share", "verdict")
    }


def seconds_by_phase(job_id: str) -> dict[str, float]:
    """Median seconds of each phase over the released rounds."""
    rounds = [
        attempt.phase_seconds
        for attempt in Attempt.objects.filter(agreement_id=job_id, state=Attempt.State.RELEASED)
    ]
    return {phase: statistics.median(r[phase] for r in rounds) for phase in rounds[0]}


def anchors() -> list[dict[str, Any]]:
    """Confirmed anchors, oldest first."""
    confirmed = Anchor.objects.filter(state="confirmed").order_by("block_number")
    return [
        {
            "size": row.size,
            "root": bytes(row.root).hex(),
            "tx": row.tx_hash,
            "block": row.block_number,
        }
        for row in confirmed
    ]


def job_is_anchored(job_id: str) -> bool:
    """Return whether a confirmed anchor covers every event of the job so far."""
    from apps.provenance.selectors import events, events_logged

    logged = events_logged(list(events(subject=("job", job_id))))
    return bool(logged) and all(event.anchor is not None for event in logged)


def event_counts() -> dict[str, int]:
    """Count the events of the consortium's log, and those that have their leaf."""
    return {"events": Event.objects.count(), "leaves": Leaf.objects.count()}
