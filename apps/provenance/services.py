"""Writes to the current schema's log: events, leaves, checkpoints.

An event is written in the transaction of the change that it tells of and takes no lock; the
sequencer numbers it afterwards. Both work in whichever schema the connection is set to.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context
from psycopg.types.json import Jsonb

from apps.common.actor import Actor
from apps.common.requests import tenant_connection
from apps.provenance import keys
from apps.provenance.models import Checkpoint, Event, Leaf
from apps.provenance.nodes import load_nodes
from apps.provenance.tags import AnyTag
from federated.errors import InvalidInput
from federated.provenance import checkpoint as checkpoints
from federated.provenance import events, merkle

SEQUENCE_BATCH = 1000
RECENT = timedelta(hours=1)
EVENT_COLUMNS = {
    "id": "id::uuid",
    "created_at": "created_at::timestamptz",
    "tag": "tag",
    "at": "at::timestamptz",
    "actor": "actor::jsonb",
    "subject_kind": "subject_kind::jsonb #>> '{}'",
    "subject_id": "subject_id::jsonb #>> '{}'",
    "canonical": "convert_to(canonical, 'UTF8')",
    "digest": "digest",
}
"""Each with its value from a line of text, as `events_record` sends it."""
INSERT_EVENT = (
    f'INSERT INTO "provenance_event" ({", ".join(EVENT_COLUMNS)}) '
    f"VALUES ({', '.join(['%s'] * len(EVENT_COLUMNS))})"
)
SEQUENCER_LOCK = 0x6C6F67


def current_origin() -> str:
    """The origin of the current schema's log: ``consortium`` or ``consortium/slug``."""
    schema = str(tenant_connection().schema_name)
    if schema == get_public_schema_name():
        return events.log_origin(settings.FSC_CONSORTIUM)
    if not schema.startswith("t_"):
        raise InvalidInput(f"schema {schema} belongs to no organization")
    return events.log_origin(settings.FSC_CONSORTIUM, schema.removeprefix("t_"))


def event_record(
    *,
    tag: AnyTag,
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
    row = _event_row(
        current_origin(),
        tag=tag,
        actor=actor,
        subject=subject,
        digests=digests,
        data=data,
        signature=signature,
    )
    values: list[Any] = [Jsonb(v) if isinstance(v, dict) else v for v in row.values()]
    # One statement: every request that changes something pays for it, and the ORM's costs more.
    with connection.cursor() as cursor:
        cursor.execute(INSERT_EVENT, values)
    event = Event(**row)
    event._state.adding, event._state.db = False, connection.alias
    return event


def events_record(entries: Iterable[Mapping[str, Any]]) -> int:
    """Write many events, each with `event_record`'s arguments, in this order; return how many.

    One statement for all of them, for a service that tells of many changes at once. Raises
    `InvalidInput` before anything is written.
    """
    origin = current_origin()
    rows = [_event_row(origin, **entry) for entry in entries]
    if not rows:
        return 0
    names = ", ".join(EVENT_COLUMNS)
    texts = ", ".join(["string_to_array(%s, E'\\n')"] * len(EVENT_COLUMNS))
    with connection.cursor() as cursor:
        cursor.execute(
            f'INSERT INTO "provenance_event" ({names}) '
            f"SELECT {', '.join(EVENT_COLUMNS.values())} FROM unnest({texts}) AS _ ({names})",
            ["\n".join(column) for column in zip(*map(_event_lines, rows), strict=True)],
        )
    return len(rows)


def _event_lines(row: dict[str, Any]) -> list[str]:
    """Returns one line per column: psycopg takes longer to write arrays than all the rest takes.

    JSON has no line feed of its own, so that no text of a user can end a line.
    """
    at = row["at"].isoformat()
    return [
        str(row["id"]),
        at,
        row["tag"],
        at,
        json.dumps(row["actor"]),
        json.dumps(row["subject_kind"]),
        json.dumps(row["subject_id"]),
        row["canonical"].decode(),
        row["digest"],
    ]


def _event_row(
    origin: str,
    *,
    tag: AnyTag,
    actor: Actor,
    subject: tuple[str, Any],
    digests: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
    signature: str | None = None,
) -> dict[str, Any]:
    """The columns of a new event, in the order of `EVENT_COLUMNS`."""
    kind, identifier = subject
    event_id, at = uuid.uuid4(), timezone.now()
    body = events.Event.build(
        id=event_id,
        at=at,
        tag=str(tag),
        origin=origin,
        actor=actor.snapshot() | {"organization": actor.organization or None},
        subject={"kind": kind, "id": str(identifier)},
        digests=dict(digests or {}),
        data=dict(data or {}),
        signature=signature,
    )
    canonical = body.canonical()
    return {
        "id": event_id,
        "created_at": at,
        "tag": body.tag,
        "at": at,
        "actor": body.actor.model_dump(),
        "subject_kind": body.subject.kind,
        "subject_id": body.subject.id,
        "canonical": canonical,
        "digest": events.digest(canonical),
    }


def consortium_event_record(**fields: Any) -> Event:
    """`event_record`, to the consortium's log, whatever the current schema."""
    with schema_context(get_public_schema_name()):
        return event_record(**fields)


@transaction.atomic
def log_sequence(*, limit: int = SEQUENCE_BATCH, everything: bool = True) -> int:
    """Give the current schema's unnumbered events their places; return how many.

    Without ``everything`` it looks at the events of the last hour alone, which takes the same time
    however long the log is; what was committed later than that waits for the next whole look.
    One sequencer at a time: an advisory lock, which no request ever takes.
    """
    _sequencer_lock()
    placed = Leaf.objects.filter(event=OuterRef("pk"))
    waiting = Event.objects.filter(~Exists(placed)).order_by("created_at", "id")
    if not everything:
        waiting = waiting.filter(created_at__gte=timezone.now() - RECENT)
    found = list(waiting.values_list("pk", "canonical")[:limit])
    if not found:
        return 0
    size = log_size()
    nodes = load_nodes(set(merkle.frontier_keys(size)))
    leaves, written = [], []
    for log_index, (event_id, canonical) in enumerate(found, start=size):
        leaf = merkle.leaf_hash(bytes(canonical))
        written += merkle.append(nodes, log_index, leaf)
        leaves.append((event_id, log_index, leaf))
    _insert_leaves(leaves)
    _insert_nodes([(*merkle.node_place(key), nodes[key]) for key in written])
    return len(leaves)


def _insert_leaves(rows: list[tuple[uuid.UUID, int, bytes]]) -> None:
    """As arrays: a batch of a thousand events takes two statements and little of Python."""
    _insert_arrays("provenance_leaf", {"event_id": "uuid", "log_index": "bigint"}, rows)


def _insert_nodes(rows: list[tuple[int, int, bytes]]) -> None:
    _insert_arrays("provenance_node", {"level": "smallint", "index": "bigint"}, rows)


def _insert_arrays(table: str, columns: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Rows of two columns and a hash, with a key and a time of their own."""
    names = ", ".join(f'"{name}"' for name in columns)
    arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
    *values, hashes = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        # The hashes as one value, cut by the server: psycopg is slow to write arrays of bytes.
        cursor.execute(
            f'INSERT INTO "{table}" (id, created_at, {names}, "hash") '
            f"SELECT gen_random_uuid(), %s, {names}, "
            f"substring(%s::bytea FROM {merkle.HASH_SIZE} * (at::int - 1) + 1 "
            f"FOR {merkle.HASH_SIZE}) "
            f"FROM unnest({arrays}) WITH ORDINALITY AS _ ({names}, at)",
            [timezone.now(), b"".join(hashes), *map(list, values)],
        )


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
    """Return the number of leaves of the current schema's log."""
    last = Leaf.objects.order_by("-log_index").values_list("log_index", flat=True).first()
    return 0 if last is None else last + 1


def _sequencer_lock() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s))",
            [SEQUENCER_LOCK, tenant_connection().schema_name],
        )
