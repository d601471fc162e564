"""A site's contribution to an attempt: noise, encryption, proof, signature; and its checks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from federated.aggregation.base import Sealed, Sink
from federated.errors import InvalidInput
from federated.privacy import discrete_gaussian
from federated.protocol.agreement import JobAgreement
from federated.protocol.cost import share_sigma
from federated.protocol.identity import SiteIdentity
from federated.protocol.layout import clamp_of
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.job import JobSpec
from federated.wire.round import Contribution, RoundContext

_PIECE = 1 << 14


def contribution_make(
    *,
    agreement: JobAgreement,
    context: RoundContext,
    identity: SiteIdentity,
    gradient: NDArray[np.int64],
    sink: Sink | None = None,
) -> Signed[Contribution]:
    """The signed contribution of a bounded gradient sum (int64, shape (d,), grid units).

    Coordinates are clamped, then the noise share of the context's smallest cohort is added. Every
    call draws fresh noise and randomness: store the result before it is sent, and resend those very
    bytes. ``sink`` takes the masked vector of a masked job, piece by piece, so that no more than
    pieces of it are in memory.
    Raises InvalidInput for another shape or type, or a masked job without a sink.
    """
    spec = agreement.spec
    if gradient.shape != (spec.dimension,) or gradient.dtype != np.int64:
        raise InvalidInput(
            f"gradient has shape {gradient.shape} and type {gradient.dtype}; "
            f"({spec.dimension},) and int64 are allowed"
        )
    digest = context.digest()
    sealed = agreement.aggregator.encrypt(
        _noisy(gradient, spec, share_sigma(spec, minimum_cohort=agreement.minimum(context))),
        context=bytes.fromhex(digest),
        organization=identity.organization,
        sink=sink,
    )
    return identity.sign(
        Contribution(
            context=digest,
            organization=identity.organization,
            ciphertexts=tuple(encode_bytes(ciphertext) for ciphertext in sealed.ciphertexts),
            proof=encode_bytes(sealed.proof),
            masked=sealed.masked,
        )
    )


def _noisy(gradient: NDArray[np.int64], spec: JobSpec, sigma: float) -> Iterator[NDArray[np.int64]]:
    """The clamped gradient with its noise share, in pieces."""
    clamp = clamp_of(spec)
    for at in range(0, len(gradient), _PIECE):
        piece = np.clip(gradient[at : at + _PIECE], -clamp, clamp)
        if sigma > 0:
            piece += discrete_gaussian.sample(sigma, len(piece))
        yield piece


def contribution_check(
    signed: Signed[Contribution], *, agreement: JobAgreement, context: RoundContext
) -> None:
    """Check signature, context, shape and proof of one contribution.

    The bytes of a masked vector are not needed for it: its digest is signed and proven, and
    whoever reads them checks them against it (total_of).
    Raises Refused(member_unknown), SignatureInvalid, InvalidInput (context, number or range of
    ciphertexts) or ProofInvalid.
    """
    body = signed.body
    agreement.verify(signed)
    digest = context.digest()
    if body.context != digest:
        raise InvalidInput(
            f"context: bound to {body.context[:16]}, this attempt's is {digest[:16]}"
        )
    agreement.aggregator.verify(
        Sealed(
            tuple(decode_bytes(ciphertext) for ciphertext in body.ciphertexts),
            decode_bytes(body.proof),
            body.masked,
        ),
        context=bytes.fromhex(digest),
        organization=body.organization,
    )
