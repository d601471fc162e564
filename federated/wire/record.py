"""A job's whole record, as a bundle carries it: enough to recompute every release offline."""

from __future__ import annotations

from typing import ClassVar

from federated.wire.base import Bytes, Message, Signed
from federated.wire.job import Decline
from federated.wire.key import KeyEpoch
from federated.wire.reproducibility import ReproducibilityRecord
from federated.wire.round import Refusal, Transcript, Verdict

INLINE_STATE_BYTES = 4 << 20
"""A message or record holds a server state up to this size (262,000 parameters at a job's start);
a larger one is stored outside, named by its digest."""


def state_beside(size: int) -> bool:
    """Return whether a server state of so many bytes travels outside the message that names it."""
    return size > INLINE_STATE_BYTES


class JobRecord(Message):
    """One job: its key epoch, the server state it started from, and every attempt in order.

    An attempt that was abandoned after it closed has no release; one that never closed has no
    transcript and is in the log only. ``reproducibility`` has a record a release, in their order.
    """

    TAG: ClassVar[str] = "job-record"

    key_epoch: KeyEpoch
    initial_state: Bytes | None
    attempts: tuple[Transcript, ...]
    reproducibility: tuple[ReproducibilityRecord, ...] = ()
    verdicts: tuple[Signed[Verdict], ...] = ()
    refusals: tuple[Signed[Refusal], ...] = ()
    declines: tuple[Signed[Decline], ...] = ()
