"""The masked vectors of a masked job: bytes beside the messages, bound by their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

from federated.aggregation.base import Total
from federated.errors import InvalidInput
from federated.protocol.agreement import JobAgreement
from federated.wire.base import Signed
from federated.wire.round import Contribution, Transcript

Source = Callable[[str], Iterable[bytes]]
"""Gives a masked vector's bytes, in pieces of any lengths, by its digest."""


def masked_bytes(agreement: JobAgreement) -> int:
    """Length of a contribution's masked vector; 0 for a packed job."""
    return agreement.aggregator.masked_bytes


def masked_check(
    signed: Signed[Contribution], chunks: Iterable[bytes], *, agreement: JobAgreement
) -> None:
    """Check the bytes that came beside a contribution, as they arrive, storing none.

    Raises InvalidInput as soon as there are too many, or at the end for too few or other bytes.
    """
    expected = masked_bytes(agreement)
    seen, length = hashlib.sha256(), 0
    for chunk in chunks:
        length += len(chunk)
        if length > expected:
            break
        seen.update(chunk)
    if length != expected:
        more = " or more" if length > expected else ""
        raise InvalidInput(f"masked vector has {length}{more} bytes: {expected} are allowed")
    if expected and seen.hexdigest() != signed.body.masked:
        raise InvalidInput("masked vector is not the one whose digest the contribution signs")


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
