"""Honest bundles as long as is wanted, written without ever being whole in memory."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from federated.provenance import merkle
from federated.provenance.checkpoint import Checkpoint, VerifierKey, sign_checkpoint
from federated.provenance.events import Event
from federated.wire.base import canonical
from tests.federated.provenance.small_bundle import KEY, ORIGIN, small_bundle

FILLER = "f" * 16_000


def big_bundle_write(path: Path, *, events: int) -> int:
    """A bundle of one log with so many events of 16 kB; returns its size in bytes."""
    nodes: dict = {}
    for index in range(events):
        merkle.append(nodes, index, merkle.leaf_hash(_event(index)))
    note = sign_checkpoint(Checkpoint(ORIGIN, events, merkle.root(nodes, events)), KEY)
    log = {
        "checkpoints": [note],
        "consistency": [],
        "events": [],
        "origin": ORIGIN,
        "verifier_key": str(VerifierKey.of(ORIGIN, KEY)),
    }
    whole = {key: value for key, value in small_bundle().items() if key != "digest"}
    whole |= {"anchors": [], "logs": [log], "sections": {}}
    head, tail = canonical(whole).split(b'"events":[]')
    seen = hashlib.sha256()
    with path.open("wb") as file:
        place = head.index(b'"format"')
        file.write(head[:place] + b'"digest":"' + b"0" * 64 + b'",' + head[place:])

        def write(data: bytes) -> None:
            seen.update(data)
            file.write(data)

        seen.update(head)
        write(b'"events":[')
        for index in range(events):
            write((b"," if index else b"") + _item(index, nodes, events))
        write(b"]" + tail)
        file.write(b"\n")
        file.seek(place + len(b'"digest":"'))
        file.write(seen.hexdigest().encode())
    return path.stat().st_size


def _event(index: int) -> bytes:
    return Event.build(
        id=UUID(int=index),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        tag="federation:round:closed",
        origin=ORIGIN,
        actor={"kind": "system", "id": "rounds", "name": "rounds"},
        subject={"kind": "job", "id": str(index)},
        data={"filler": FILLER},
    ).canonical()


def _item(index: int, nodes: dict, size: int) -> bytes:
    data = _event(index)
    return canonical(
        {
            "canonical": data.decode(),
            "id": str(UUID(int=index)),
            "index": index,
            "leaf_hash": merkle.leaf_hash(data).hex(),
            "proof": [part.hex() for part in merkle.inclusion_proof(nodes, index, size)],
            "row": None,
        }
    )
