"""The masked vectors of a masked job: bytes beside the messages, bound by their digests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from federated.aggregation.base import Total
from federated.errors import InvalidInput
from federated.protocol.agreement import JobAgreement
from federated.wire.round import Transcript

Source = Callable[[str], Iterable[bytes]]
"""Gives a masked vector's bytes, in pieces of any lengths, by its digest."""


def masked_bytes(agreement: JobAgreement) -> int:
    """Length of a contribution's masked vector; 0 for a packed job."""
    return agreement.aggregator.masked_bytes


def total_of(transcript: Transcript, *, agreement: JobAgreement, source: Source) -> Total | None:
    """The sum of a cohort's masked vectors, one in pieces in memory at a time; None if packed.

    Raises InvalidInput where bytes are not those that a contribution signs.
    """
    total = agreement.aggregator.total()
    if total is None:
        return None
    for signed in transcript.contributions:
        digest = signed.body.masked
        if digest is None:
            raise InvalidInput(f"contribution of {signed.body.organization} has no masked vector")
        total.add(source(digest), digest)
    return total
