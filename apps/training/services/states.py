"""Taking the first server states of large models: in parts, before the job that names them."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

from apps.training.errors import StateMissing
from apps.training.services.incoming import (
    Part,
    digest_check,
    incoming_locked,
    incoming_path,
    part_append,
)
from federated.errors import TooLarge
from federated.training.server import LARGEST_STATE_BYTES

WAITING = 4
"""States that an organization may leave here for jobs that it has not proposed yet."""


def state_receive(*, organization: str, digest: str, part: Part) -> tuple[int, bool]:
    """Take a part of a server state; how many bytes are here, and whether it is whole.

    It waits for its job for a day (incoming_sweep); of more than WAITING the oldest make way.
    Raises TooLarge, InvalidInput for other bytes than the digest's, PartMissing for a part that
    leaves a gap, Unavailable while another request brings the same state.
    """
    if part.total > LARGEST_STATE_BYTES:
        raise TooLarge(
            f"The state has {part.total} bytes; at most {LARGEST_STATE_BYTES} are allowed.",
            limit=LARGEST_STATE_BYTES,
        )
    with incoming_locked(_owner(organization), digest, others=WAITING - 1) as (path, file):
        here = part_append(file, part)
        if here < part.total:
            return here, False
        digest_check(path, digest, "state")
        os.fsync(file.fileno())
        return here, True


@contextmanager
def state_received(*, organization: str, digest: str) -> Iterator[mmap.mmap]:
    """A whole state that the organization sent before, mapped; taken away after the block.

    It stays where the block raises, so that the proposal can be sent again. Raises StateMissing.
    """
    missing = StateMissing(f"state: {digest[:16]} is not here; send it first, then the proposal")
    owner = _owner(organization)
    if not incoming_path(owner, digest).exists():
        raise missing
    with incoming_locked(owner, digest, others=WAITING) as (path, file):
        if not os.fstat(file.fileno()).st_size:
            raise missing
        digest_check(path, digest, "state")
        # Locked, so that nobody cuts the file short under the map.
        yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        path.unlink(missing_ok=True)


def _owner(organization: str) -> str:
    return f"state.{organization}"
