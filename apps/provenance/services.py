"""Writes to the current schema's log: events, leaves, checkpoints.

An event is written in the transaction of the change that it tells of and takes no lock; the
sequencer numbers it afterwards. Both work in whichever schema the connection is set to.
"""

import uuid
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from apps.common.actor import Actor
from apps.provenance import keys
from apps.provenance.models import Checkpoint, Event, Leaf, Node
from apps.provenance.nodes import load_nodes
from apps.provenance.tags import Tag
from federated.errors import InvalidInput
from federated.provenance import checkpoint as checkpoints
from federated.provenance import events, merkle

SEQUENCE_BATCH = 1000
SEQUENCER_LOCK = 0x6C6F67


def current_origin() -> str:
    """The origin of the current schema's log: ``consortium`` or ``consortium/slug``."""
    schema = connection.schema_name
    if schema == get_public_schema_name():
        return events.log_origin(settings.FSC_CONSORTIUM)
    if not schema.startswith("t_"):
        raise InvalidInput(f"schema {schema} belongs to no organization")
    return events.log_origin(settings.FSC_CONSORTIUM, schema.removeprefix("t_"))


def event_record(
    *,
    tag: Tag,
    actor: Actor,
    subject: tuple[str, Any],
    digests: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
    signature: str | None = None,
) -> Event:
    """Write an event to the current schema's log, in the caller's transaction.

    `subject` is ``(kind, id)``; `digests` are hex SHA-256; `data` is JSON (no secret, no record);
    `signature` is the digest of the signed request that caused the event. Raises `InvalidInput`.
    """
    kind, identifier = subject
    event_id, at = uuid.uuid4(), timezone.now()
    body = events.Event.build(
        id=event_id,
        at=at,
        tag=str(tag),
        origin=current_origin(),
        actor=actor.snapshot() | {"organization": actor.organization or None},
        subject={"kind": kind, "id": str(identifier)},
        digests=dict(digests or {}),
        data=dict(data or {}),
        signature=signature,
    )
    canonical = body.canonical()
    return Event.objects.create(
        id=event_id,
        created_at=at,
        tag=body.tag,
        at=at,
        actor=body.actor.model_dump(),
        subject_kind=body.subject.kind,
        subject_id=body.subject.id,
        canonical=canonical,
        digest=events.digest(canonical),
    )


def consortium_event_record(**fields: Any) -> Event:
    """`event_record`, to the consortium's log, whatever the current schema."""
    with schema_context(get_public_schema_name()):
        return event_record(**fields)


@transaction.atomic
def log_sequence(*, limit: int = SEQUENCE_BATCH) -> int:
    """Give the current schema's unnumbered events their places; return how many.

    One sequencer at a time: an advisory lock, which no request ever takes.
    """
    _sequencer_lock()
    waiting = list(Event.objects.filter(leaf=None).order_by("created_at", "id")[:limit])
    if not waiting:
        return 0
    size = log_size()
    nodes = load_nodes(set(merkle.frontier_keys(size)))
    leaves, written = [], []
    for log_index, event in enumerate(waiting, start=size):
        leaf = merkle.leaf_hash(bytes(event.canonical))
        written += merkle.append(nodes, log_index, leaf)
        leaves.append(Leaf(event=event, log_index=log_index, hash=leaf))
    Leaf.objects.bulk_create(leaves)
    Node.objects.bulk_create(
        [Node(level=level, index=index, hash=nodes[level, index]) for level, index in written],
        batch_size=2000,
    )
    return len(leaves)


@transaction.atomic
def checkpoint_make() -> Checkpoint | None:
    """Sign the current schema's tree head, if it has grown since the last one."""
    _sequencer_lock()
    size = log_size()
    last = Checkpoint.objects.order_by("-size").first()
    if size == 0 or (last is not None and last.size >= size):
        return None
    nodes = load_nodes(set(merkle.frontier_keys(size)))
    root = merkle.root(nodes, size)
    head = checkpoints.Checkpoint(current_origin(), size, root)
    note = checkpoints.sign_checkpoint(head, keys.log_key())
    return Checkpoint.objects.create(size=size, root=root, note=note)


def log_size() -> int:
    """How many leaves the current schema's log has."""
    last = Leaf.objects.order_by("-log_index").values_list("log_index", flat=True).first()
    return 0 if last is None else last + 1


def _sequencer_lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s))",
            [SEQUENCER_LOCK, connection.schema_name],
        )
