"""Log entries as lines of a table."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from apps.common.coordinator import as_coordinator
from apps.console import pages
from apps.federation.models import Job
from apps.provenance import selectors as provenance
from apps.provenance.ethereum import CONFIRMATIONS
from apps.provenance.models import Anchor, Event
from apps.provenance.selectors import LoggedEvent
from federated.provenance.events import EventActor

JOB_EVENTS_SHOWN = 18


def logged_rows(found: Iterable[Event]) -> list[pages.EventRow]:
    """Events of the current schema's log with leaf, first covering checkpoint and anchor."""
    return [_row(event) for event in provenance.events_logged(list(found))]


def logged_lines(found: Iterable[LoggedEvent]) -> list[pages.EventRow]:
    return [_row(event) for event in found]


def job_event_rows(job: Job) -> tuple[list[pages.EventRow], int]:
    """The newest events of a job that the caller was found to take part in, and how many it has.

    They are in the consortium's log, which an organization's role cannot read by itself.
    """
    with as_coordinator():
        found = provenance.events(subject=("job", job.pk))
        return logged_rows(found[:JOB_EVENTS_SHOWN]), found.count()


def log_note(slug: str = "") -> str:
    """Which log the events are in."""
    return f"log {settings.FSC_CONSORTIUM}{'/' if slug else ''}{slug}, newest first"


def _row(event: LoggedEvent) -> pages.EventRow:
    body, anchor = event.body, event.anchor or event.pending
    return pages.EventRow(
        id=event.id,
        label=event_label(
            body.tag, body.data.get("round") or body.data.get("run"), body.data.get("attempt")
        ),
        tag=body.tag,
        actor=_actor(body.actor),
        at=body.time,
        leaf=event.log_index,
        checkpoint=event.checkpoint_size,
        anchor=None if anchor is None else anchor_row(anchor),
    )


def anchor_row(anchor: Anchor) -> pages.AnchorRow:
    return pages.AnchorRow(
        state=anchor.state,
        size=anchor.size,
        logs=len(anchor.notes),
        confirmations=anchor.confirmations,
        needed=CONFIRMATIONS,
        chain_id=anchor.chain_id,
        contract=anchor.contract,
        block=anchor.block_number,
        transaction=anchor.tx_hash,
        at=anchor.confirmed_at or anchor.created_at,
        attempts=anchor.attempts,
        failing_since=anchor.failing_since,
    )


def _actor(actor: EventActor) -> str:
    """A site by its organization, which is what others know it by; people by their name."""
    return actor.organization if actor.kind == "site" and actor.organization else actor.name


def event_label(tag: str, number: object, attempt: object) -> str:
    """``federation:round:closed`` of round 7 as "Round 7 closed"."""
    what, *did = tag.split(":")[1:]
    verb = " ".join(did).replace("_", " ")
    if not isinstance(number, int):
        return f"{what} {verb}".capitalize()
    which = f"{number}.{attempt}" if isinstance(attempt, int) and attempt > 1 else f"{number}"
    if what in ("round", "run"):
        return f"{what} {which} {verb}".capitalize()
    unit = "run" if tag.startswith("benchmarks:") else "round"
    return f"{what} {verb}, {unit} {which}".capitalize()
