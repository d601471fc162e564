"""Server states of a job: the initial one, in its record or next to the bundle; and the next."""

from __future__ import annotations

from collections.abc import Iterable

from federated.errors import InvalidInput
from federated.files import read_mapped
from federated.protocol.agreement import JobAgreement
from federated.protocol.masked import total_of
from federated.protocol.release import release_check
from federated.training.server import ServerState
from federated.verify.vectors import VectorFolder
from federated.wire.base import decode_bytes
from federated.wire.record import JobRecord
from federated.wire.round import Transcript


def initial_state(record: JobRecord, folder: VectorFolder | None) -> ServerState | None:
    """Returns the state that the record's spec pins; None if it is large and not in the folder.

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
    """Says where a missing state was looked for."""
    pinned = record.attempts[0].spec.body.initial_state
    if folder is None:
        return f"{pinned[:16]} lies beside the bundle: give its folder (--vectors)"
    return f"{pinned[:16]} is not in {folder.path}"


def state_after(
    transcript: Transcript,
    agreement: JobAgreement,
    state: ServerState,
    vectors: VectorFolder | None,
) -> ServerState:
    """Checks an attempt's release and returns the state that follows.

    Where contributions expired by retention the signed shares alone lead to the sum. Raises
    InvalidInput or ProofInvalid.
    """
    proofs = not transcript.expired
    total = None
    if proofs:
        source = vectors.source if vectors is not None else _none
        total = total_of(transcript, agreement=agreement, source=source)
    after: ServerState = release_check(
        transcript, agreement=agreement, state=state, proofs=proofs, total=total
    )
    return after


def _none(digest: str) -> Iterable[bytes]:
    raise InvalidInput(f"masked vector {digest[:16]} is not here")
