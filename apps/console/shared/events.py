"""Log entries and anchors as lines of a table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from apps.provenance import selectors as provenance
from apps.provenance.ethereum import CONFIRMATIONS
from apps.provenance.models import Anchor, Event
from apps.provenance.selectors import LoggedEvent
from federated.provenance.events import EventActor


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorRow:
    """An anchor in the chain or on its way there, with as many confirmations as were seen."""

    state: str
    size: int
    logs: int
    confirmations: int
    needed: int
    chain_id: int | None
    contract: str
    block: int | None
    transaction: str
    at: datetime
    attempts: int
    failing_since: datetime | None

    @property
    def confirmed(self) -> bool:
        return self.state == "confirmed"

    @property
    def pill(self) -> str:
        return "failing" if self.failing_since else self.state

    @property
    def found(self) -> str:
        """Where the chain holds it, in full."""
        return (
            f"{self.confirmations} of {self.needed} confirmations, transaction {self.transaction}"
        )

    @property
    def progress(self) -> str:
        """For a table's cell."""
        if self.confirmed:
            return f"block {self.block}"
        if self.failing_since:
            return "chain does not take it"
        if self.block is None:
            return "sent" if self.state == "sent" else "waits"
        return f"{self.confirmations} of {self.needed} confirmations"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    id: str
    label: str
    tag: str
    actor: str
    at: datetime
    leaf: int | None
    checkpoint: int | None
    anchor: AnchorRow | None


def logged_rows(found: Iterable[Event]) -> list[EventRow]:
    """Events of the current schema's log with leaf, first covering checkpoint and anchor."""
    return [_row(event) for event in provenance.events_logged(list(found))]


def logged_lines(found: Iterable[LoggedEvent]) -> list[EventRow]:
    return [_row(event) for event in found]


def log_note(slug: str = "") -> str:
    """Which log the events are in."""
    return f"log {settings.FSC_CONSORTIUM}{'/' if slug else ''}{slug}, newest first"


def _row(event: LoggedEvent) -> EventRow:
    body, anchor = event.body, event.anchor or event.pending
    return EventRow(
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


def anchor_row(anchor: Anchor) -> AnchorRow:
    return AnchorRow(
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
