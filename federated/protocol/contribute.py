"""A site's contribution to an attempt: noise, encryption, proof, signature; and its checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from federated.aggregation.base import Sealed
from federated.errors import InvalidInput
from federated.privacy import discrete_gaussian
from federated.protocol.identity import SiteIdentity, verify_signed
from federated.protocol.layout import aggregator_of
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.job import JobSpec
from federated.wire.key import KeyEpoch
from federated.wire.round import Contribution, RoundContext


def contribution_make(
    *,
    spec: JobSpec,
    epoch: KeyEpoch,
    context: RoundContext,
    identity: SiteIdentity,
    gradient: NDArray[np.int64],
) -> Signed[Contribution]:
    """The signed contribution of a bounded gradient sum (int64, shape (d,), grid units).

    Coordinates are clamped, then the noise share is added. Every call draws fresh noise and
    randomness: store the result before it is sent, and resend those very bytes.
    Raises InvalidInput for another shape or type.
    """
    if gradient.shape != (spec.model.parameters,) or gradient.dtype != np.int64:
        raise InvalidInput(
            f"gradient has shape {gradient.shape} and type {gradient.dtype}; "
            f"({spec.model.parameters},) and int64 are allowed"
        )
    clamp = spec.data.max_records * spec.privacy.units
    vector = np.clip(gradient, -clamp, clamp)
    if spec.privacy.noise_sigma > 0:
        vector = vector + discrete_gaussian.sample(spec.privacy.noise_sigma, vector.size)
    digest = context.digest()
    sealed = aggregator_of(spec, epoch).encrypt(
        vector, context=bytes.fromhex(digest), organization=identity.organization
    )
    return identity.sign(
        Contribution(
            context=digest,
            organization=identity.organization,
            ciphertexts=tuple(encode_bytes(ciphertext) for ciphertext in sealed.ciphertexts),
            proof=encode_bytes(sealed.proof),
        )
    )


def contribution_check(
    signed: Signed[Contribution], *, spec: JobSpec, epoch: KeyEpoch, context: RoundContext
) -> None:
    """Check signature, context, shape and proof of one contribution.

    Raises SignatureInvalid, InvalidInput (organization, context, number or range of ciphertexts)
    or ProofInvalid.
    """
    body = signed.body
    participant = spec.participant(body.organization)
    if participant is None:
        raise InvalidInput(f"organization: {body.organization} takes no part in this job")
    verify_signed(signed, participant.public_key)
    digest = context.digest()
    if body.context != digest:
        raise InvalidInput(
            f"context: bound to {body.context[:16]}, this attempt's is {digest[:16]}"
        )
    aggregator_of(spec, epoch).verify(
        Sealed(
            tuple(decode_bytes(ciphertext) for ciphertext in body.ciphertexts),
            decode_bytes(body.proof),
        ),
        context=bytes.fromhex(digest),
        organization=body.organization,
    )
