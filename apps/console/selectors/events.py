"""Log entries as lines of a table."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings

from apps.common.coordinator import as_coordinator
from apps.console import pages
from apps.federation.models import Job
from apps.provenance import selectors as provenance
from apps.provenance.models import Event
from apps.provenance.selectors import LoggedEvent

JOB_EVENTS_SHOWN = 40


def logged_rows(found: Iterable[Event]) -> list[pages.EventRow]:
    """Events of the current schema's log with leaf, first covering checkpoint and anchor."""
    return [_row(event) for event in provenance.events_logged(list(found))]


def job_event_rows(job: Job) -> list[pages.EventRow]:
    """The newest events of a job that the caller was found to take part in.

    They are in the consortium's log, which an organization's role cannot read by itself.
    """
    with as_coordinator():
        return logged_rows(provenance.events(subject=("job", job.pk))[:JOB_EVENTS_SHOWN])


def log_note(slug: str = "") -> str:
    """Which log the events are in."""
    return f"log {settings.FSC_CONSORTIUM}{'/' if slug else ''}{slug}, newest first"


def _row(event: LoggedEvent) -> pages.EventRow:
    body, anchor = event.body, event.anchor
    return pages.EventRow(
        label=_label(body.tag, body.data.get("round"), body.data.get("attempt")),
        tag=body.tag,
        subject=f"{body.subject.kind} {body.subject.id[:12]}",
        actor=body.actor.name,
        at=body.time,
        leaf=event.log_index,
        checkpoint=event.checkpoint_size,
        block=None if anchor is None else anchor.block_number,
        transaction="" if anchor is None else anchor.tx_hash,
    )


def _label(tag: str, number: object, attempt: object) -> str:
    """``federation:round:closed`` of round 7 as "Round 7 closed"."""
    what, *did = tag.split(":")[1:]
    verb = " ".join(did).replace("_", " ")
    if not isinstance(number, int):
        return f"{what} {verb}".capitalize()
    which = f"{number}.{attempt}" if isinstance(attempt, int) and attempt > 1 else f"{number}"
    if what == "round":
        return f"Round {which} {verb}"
    return f"{what} {verb}, round {which}".capitalize()
