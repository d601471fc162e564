"""The masked vectors of a masked job: bytes beside the messages, bound by their digests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from federated.aggregation.base import Total
from federated.errors import InvalidInput
from federated.protocol.layout import aggregator_of
from federated.wire.job import JobSpec
from federated.wire.key import KeyEpoch
from federated.wire.round import Transcript

Source = Callable[[str], Iterable[bytes]]
"""Gives a masked vector's bytes, in pieces of any lengths, by its digest."""


def masked_bytes(spec: JobSpec, epoch: KeyEpoch) -> int:
    """Length of a contribution's masked vector; 0 for a packed job."""
    return aggregator_of(spec, epoch).masked_bytes


def total_of(
    transcript: Transcript, *, spec: JobSpec, epoch: KeyEpoch, source: Source
) -> Total | None:
    """The sum of a cohort's masked vectors, one in pieces in memory at a time; None if packed.

    Raises InvalidInput where bytes are not those that a contribution signs.
    """
    total = aggregator_of(spec, epoch).total()
    if total is None:
        return None
    for signed in transcript.contributions:
        digest = signed.body.masked
        if digest is None:
            raise InvalidInput(f"contribution of {signed.body.organization} has no masked vector")
        total.add(source(digest), digest)
    return total
