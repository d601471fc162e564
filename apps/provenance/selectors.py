"""Reads of the current schema's log, and of the anchors that cover it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

from django.conf import settings
from django.db.models import OuterRef, QuerySet, Subquery
from django_tenants.utils import get_public_schema_name, schema_context

from apps.provenance import keys
from apps.provenance.models import Anchor, Checkpoint, Event, Leaf
from apps.provenance.nodes import compute, load_nodes
from apps.provenance.services import current_origin
from apps.provenance.witnesses import cosignature_lines, final_size_noted
from federated.errors import Conflict, InvalidInput, NotFound
from federated.provenance import events as wire
from federated.provenance import merkle
from federated.provenance.bundle import Anchor as BundleAnchor
from federated.provenance.bundle import BundleEvent, BundleLog, Row
from federated.provenance.merkle import Nodes


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event for a page: what its canonical bytes say, and how far its proof has come."""

    id: str
    body: wire.Event
    log_index: int | None
    checkpoint_size: int | None
    anchor: Anchor | None
    """The first confirmed one that covers it."""
    final: bool = False
    """Whether enough witnesses have cosigned a checkpoint that covers it."""
    pending: Anchor | None = None
    """The one on its way to the chain, if no confirmed one covers the event and this does."""
    intact: bool = True
    """False for an event whose stored bytes are not those that the log took."""


@dataclass(frozen=True, slots=True)
class InclusionProof:
    log_index: int
    size: int
    leaf_hash: bytes
    path: list[bytes]
    note: str


def events(*, tag: str = "", subject: tuple[str, Any] | None = None) -> QuerySet[Event]:
    """The log's events, newest first, with their leaves; for `keyset_page` too."""
    found = Event.objects.select_related("leaf").order_by("-created_at", "-id")
    if tag:
        found = found.filter(tag=tag)
    if subject is not None:
        found = found.filter(subject_kind=subject[0], subject_id=str(subject[1]))
    return found


def events_logged(found: Sequence[Event]) -> list[LoggedEvent]:
    """Events with leaf number, first covering checkpoint and first covering anchor."""
    placed = [event for event in found if _has_leaf(event)]
    later = Checkpoint.objects.filter(size__gt=OuterRef("log_index")).order_by("size")
    leaves = Leaf.objects.filter(event__in=placed).annotate(
        under=Subquery(later.values("size")[:1])
    )
    sizes = dict(leaves.values_list("log_index", "under"))
    anchored = _anchors_covering(placed)
    waiting = anchor_waiting() if placed else None
    under = waiting.size_of(current_origin()) if waiting is not None else None
    final = final_size_noted() if placed else 0
    logged = []
    for event in found:
        index = event.leaf.log_index if _has_leaf(event) else None
        size = None if index is None else sizes[index]
        anchor = None if index is None else next((a for s, a in anchored if s > index), None)
        is_pending = index is not None and anchor is None and index < (under or 0)
        body, intact = event_read(event)
        logged.append(
            LoggedEvent(
                id=str(event.pk),
                body=body,
                log_index=index,
                checkpoint_size=size,
                anchor=anchor,
                final=index is not None and index < final,
                pending=waiting if is_pending else None,
                intact=intact,
            )
        )
    return logged


def _anchors_covering(found: Sequence[Event]) -> list[tuple[int, Anchor]]:
    """The anchors in question for these events: (the log's size under it, anchor), ascending.

    An anchor that covers an event was confirmed after the event was recorded, and what is under
    anchors only grows: so reading starts at the first event's time and stops at the first anchor
    that covers them all.
    """
    if not found:
        return []
    origin = current_origin()
    last = max(event.leaf.log_index for event in found)
    covering = []
    with schema_context(get_public_schema_name()):
        rows = _confirmed(since=min(event.created_at for event in found))
        for anchor in rows.iterator(chunk_size=20):
            size = anchor.size_of(origin)
            if size is not None:
                covering.append((size, anchor))
                if size > last:
                    break
    return covering


def anchors_since(moment: datetime, *, limit: int = 200) -> list[Anchor]:
    """The first `limit` anchors confirmed from `moment` on, and the newest; by ascending size."""
    with schema_context(get_public_schema_name()):
        rows = list(_confirmed(since=moment)[:limit])
        newest = _confirmed(since=moment).last() if len(rows) == limit else None
    if newest is not None and newest.pk != rows[-1].pk:
        rows.append(newest)
    return rows


def _confirmed(*, since: datetime) -> QuerySet[Anchor]:
    found = Anchor.objects.filter(state=Anchor.State.CONFIRMED, confirmed_at__gte=since)
    return found.order_by("size")


def anchor_waiting() -> Anchor | None:
    """The anchor that is on its way to the chain, if any: at most one is."""
    with schema_context(get_public_schema_name()):
        return Anchor.objects.exclude(state=Anchor.State.CONFIRMED).first()


def anchors_newest(limit: int) -> list[Anchor]:
    with schema_context(get_public_schema_name()):
        return list(Anchor.objects.order_by("-size")[:limit])


def anchor_newest_confirmed() -> Anchor | None:
    """The newest anchor that the chain holds."""
    with schema_context(get_public_schema_name()):
        held = Anchor.objects.filter(state=Anchor.State.CONFIRMED)
        return held.order_by("-size").first()


AnchoringState = Literal["off", "failing", "waiting", "current"]


def anchoring_state() -> AnchoringState:
    """Whether anchors reach the chain: ``failing`` from a failed attempt to the next that holds."""
    if settings.FSC_CONFIG.chain_rpc_url is None:
        return "off"
    waiting = anchor_waiting()
    if waiting is None:
        return "current"
    return "waiting" if waiting.failing_since is None else "failing"


def checkpoint_latest() -> Checkpoint | None:
    return Checkpoint.objects.order_by("-size").first()


def log_verifier_key() -> str:
    """The verifier key of the current schema's log (C2SP ``name+id+key``)."""
    return str(keys.verifier_key(current_origin()))


def inclusion_proof(*, event_id: Any, size: int | None = None) -> InclusionProof:
    """Proof that an event is in the checkpoint of `size` (default: the newest).

    Raises `NotFound` for no such event or checkpoint, `Conflict` while none covers the event.
    """
    leaf = Leaf.objects.filter(event_id=event_id).first()
    if leaf is None:
        if Event.objects.filter(pk=event_id).exists():
            raise Conflict("the event has no place in the log yet; try again in a second")
        raise NotFound("there is no such event")
    checkpoint = _checkpoint(size)
    if checkpoint.size <= leaf.log_index:
        raise Conflict(f"no checkpoint of size {checkpoint.size} covers leaf {leaf.log_index}")
    path = compute(lambda n: merkle.inclusion_proof(n, leaf.log_index, checkpoint.size))
    return InclusionProof(leaf.log_index, checkpoint.size, bytes(leaf.hash), path, checkpoint.note)


def consistency_proof(*, old: int, new: int | None = None) -> tuple[Checkpoint, list[bytes]]:
    """The checkpoint of size `new` (default: the newest) and the proof that it extends `old`."""
    checkpoint = _checkpoint(new)
    return checkpoint, compute(lambda n: merkle.consistency_proof(n, old, checkpoint.size))


def bundle_log(
    *,
    event_ids: Sequence[Any] | None = None,
    anchors: Sequence[Anchor] = (),
    max_checkpoints: int = 200,
) -> BundleLog:
    """The current schema's log for a bundle, up to its newest checkpoint.

    `event_ids` limits the events (default: all); checkpoints are the newest `max_checkpoints`
    and all those under one of `anchors`. Raises `NotFound` while the log has no checkpoint.
    """
    newest = _checkpoint(None)
    leaves = Leaf.objects.filter(log_index__lt=newest.size).select_related("event")
    if event_ids is not None:
        leaves = leaves.filter(event_id__in=event_ids)
    chosen = list(leaves.order_by("log_index"))
    origin = current_origin()
    anchored = {size for anchor in anchors if (size := anchor.size_of(origin)) is not None}
    heads = Checkpoint.objects.filter(size__lte=newest.size).order_by("-size")
    recent = list(heads.values_list("size", flat=True)[:max_checkpoints])
    kept = list(heads.filter(size__in=anchored.union(recent)).order_by("size"))
    cosigned = cosignature_lines([head.size for head in kept])
    steps = list(pairwise(kept))

    def proofs(nodes: Nodes) -> tuple[list[list[bytes]], list[list[bytes]]]:
        return (
            [merkle.inclusion_proof(nodes, leaf.log_index, newest.size) for leaf in chosen],
            [merkle.consistency_proof(nodes, a.size, b.size) for a, b in steps],
        )

    nodes = load_nodes(merkle.keys_needed(proofs))
    paths, consistency = proofs(nodes)
    return BundleLog(
        origin=origin,
        verifier_key=log_verifier_key(),
        checkpoints=[head.note + cosigned.get(head.size, "") for head in kept],
        consistency=[_hex(path) for path in consistency],
        events=[_bundle_event(leaf, path) for leaf, path in zip(chosen, paths, strict=True)],
    )


def bundle_anchors(anchors: Sequence[Anchor], origins: Sequence[str]) -> list[BundleAnchor]:
    """Those of `anchors` that cover any of the logs `origins`, for a bundle."""
    return [
        BundleAnchor(
            origin=row.origin,
            size=row.size,
            root=bytes(row.root).hex(),
            notes=row.notes,
            chain_id=row.chain_id,
            contract=row.contract,
            tx_hash=row.tx_hash,
            block_number=row.block_number,
            block_hash=row.block_hash,
        )
        for row in anchors
        if row.chain_id is not None
        and row.block_number is not None
        and any(row.size_of(origin) is not None for origin in origins)
    ]


def event_read(event: Event) -> tuple[wire.Event, bool]:
    """Returns an event's content, and whether it still has the hash of its leaf.

    A page must also open after a row was edited: what no longer parses is shown from the
    columns, unvalidated.
    """
    canonical = bytes(event.canonical)
    try:
        body = wire.Event.parse(canonical)
        body.time  # noqa: B018  (its pattern admits a month 13)
    except (InvalidInput, ValueError):
        return _from_columns(event), False
    recorded = event.leaf.hash if _has_leaf(event) else merkle.leaf_hash(canonical)
    return body, bytes(recorded) == merkle.leaf_hash(canonical)


def _from_columns(event: Event) -> wire.Event:
    actor = event.actor if isinstance(event.actor, dict) else {}
    fields: dict[str, Any] = {
        "kind": "system",
        "id": "unknown",
        "name": "unknown",
        "organization": None,
    }
    return wire.Event.model_construct(
        id=str(event.pk),
        tag=event.tag,
        at=event.at.strftime(wire.TIME_FORMAT),
        origin=current_origin(),
        actor=wire.EventActor.model_construct(
            **{key: actor.get(key, fields[key]) for key in fields}
        ),
        subject=wire.EventSubject.model_construct(kind=event.subject_kind, id=event.subject_id),
    )


def _bundle_event(leaf: Leaf, path: list[bytes]) -> BundleEvent:
    event = leaf.event
    return BundleEvent(
        index=leaf.log_index,
        id=str(event.pk),
        canonical=bytes(event.canonical).decode("utf-8", "backslashreplace"),
        leaf_hash=bytes(leaf.hash).hex(),
        proof=_hex(path),
        row=Row(
            tag=event.tag,
            actor=event.actor,
            subject_kind=event.subject_kind,
            subject_id=event.subject_id,
            at=event.at.strftime(wire.TIME_FORMAT),
        ),
    )


def _checkpoint(size: int | None) -> Checkpoint:
    found = checkpoint_latest() if size is None else Checkpoint.objects.filter(size=size).first()
    if found is None:
        raise NotFound("the log has no such checkpoint" if size else "the log has no checkpoint")
    return found


def _has_leaf(event: Event) -> bool:
    return getattr(event, "leaf", None) is not None


def _hex(path: Sequence[bytes]) -> list[str]:
    return [item.hex() for item in path]
