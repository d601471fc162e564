"""The server state that a job record starts from: in it, or beside it under its digest."""

from __future__ import annotations

from federated.errors import InvalidInput
from federated.files import read_mapped
from federated.training.server import ServerState
from federated.verify.vectors import VectorFolder
from federated.wire.base import decode_bytes
from federated.wire.record import JobRecord


def initial_state(record: JobRecord, folder: VectorFolder | None) -> ServerState | None:
    """The state that the record's spec pins; None where it lies beside and is not in the folder.

    Raises InvalidInput for another state than the pinned one. The record has an attempt.
    """
    pinned = record.attempts[0].spec.body.initial_state
    if record.initial_state is not None:
        state = ServerState.from_bytes(decode_bytes(record.initial_state))
    else:
        content = None if folder is None else read_mapped(folder.state_file(pinned))
        if content is None:
            return None
        state = ServerState.from_bytes(content)
    if state.digest() != pinned:
        raise InvalidInput(
            f"initial state digest: {state.digest()[:16]} is not the {pinned[:16]} of the spec"
        )
    return state


def state_absent(record: JobRecord, folder: VectorFolder | None) -> str:
    """Where a state that is not here was looked for, in words."""
    pinned = record.attempts[0].spec.body.initial_state
    if folder is None:
        return f"{pinned[:16]} lies beside the bundle: give its folder (--vectors)"
    return f"{pinned[:16]} is not in {folder.path}"
