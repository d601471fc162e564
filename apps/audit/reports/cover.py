"""Makes a report's cover: the logs' checkpoints, their cosignatures, the last anchor."""

from __future__ import annotations

from apps.audit.reports.values import LogHead, LogKind
from apps.audit.selectors import log_events_entered, log_settle
from apps.provenance.models import Anchor
from apps.provenance.selectors import (
    anchor_newest_confirmed,
    checkpoint_latest,
    log_verifier_key,
)
from apps.provenance.services import current_origin
from apps.provenance.witnesses import final_size_noted


def heads_read(organization: str | None) -> tuple[list[LogHead], Anchor | None]:
    """A checkpoint of each log that the reader sees, made if there are newer events."""
    logs: list[LogKind] = ["consortium"] if organization is None else ["consortium", "own"]
    anchor = anchor_newest_confirmed()
    found = []
    for log in logs:
        with log_events_entered(organization=organization, log=log):
            head = _head(log, anchor)
        if head is not None:
            found.append(head)
    return found, anchor


def _head(log: LogKind, anchor: Anchor | None) -> LogHead | None:
    log_settle()
    newest = checkpoint_latest()
    if newest is None:
        return None
    origin = current_origin()
    return LogHead(
        log=log,
        origin=origin,
        size=newest.size,
        root=bytes(newest.root).hex(),
        verifier_key=log_verifier_key(),
        signed_at=newest.created_at,
        final=final_size_noted(),
        anchored=(anchor.size_of(origin) or 0) if anchor is not None else 0,
    )
