"""From t shares to the sum and the next server state; recomputed by every site."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from federated.aggregation.base import Total
from federated.crypto.threshold import combine
from federated.errors import InvalidInput
from federated.protocol.agreement import JobAgreement
from federated.protocol.share import product_of, share_check, share_signature_check
from federated.training.server import ServerState, server_step
from federated.wire.base import decode_bytes
from federated.wire.job import Evaluation, JobSpec
from federated.wire.round import Release, Transcript


def release_make(
    transcript: Transcript,
    *,
    agreement: JobAgreement,
    state: ServerState,
    total: Total | None = None,
) -> tuple[Release, ServerState]:
    """Combine the transcript's shares, decode the sum, step the server state.

    Deterministic: whoever holds the transcript and the state before gets the same bytes; a masked
    job needs ``total``, which is total_of the same transcript. The shares' proofs must have been
    checked (share_check). Raises InvalidInput with fewer than t, or MaskKeyInvalid.
    """
    cohort = transcript.cohort()
    key = agreement.key
    partials = {
        signed.body.index: [key.decode_ciphertext(decode_bytes(p)) for p in signed.body.partials]
        for signed in transcript.shares
    }
    plaintexts = combine(key, agreement.verification, partials)
    decoded = agreement.aggregator.decode(
        plaintexts, len(cohort.members), context=bytes.fromhex(cohort.context), total=total
    )
    spec = agreement.spec
    after = _after(state, decoded, spec)
    release = Release(
        context=cohort.context,
        cohort=cohort.digest(),
        values=() if spec.aggregation == "masked" else tuple(decoded.tolist()),
        state=after.digest(),
        sum=_digest(decoded) if spec.aggregation == "masked" else None,
    )
    return release, after


def _after(state: ServerState, decoded: NDArray[np.int64], spec: JobSpec) -> ServerState:
    """The server's step; the counts of a joint evaluation leave the model as it is."""
    if isinstance(spec.strategy, Evaluation):
        return state
    return server_step(
        state,
        decoded,
        strategy=spec.strategy,
        privacy=spec.privacy,
        denominator=spec.denominator,
    )


def release_check(
    transcript: Transcript,
    *,
    agreement: JobAgreement,
    state: ServerState,
    proofs: bool = True,
    total: Total | None = None,
) -> ServerState:
    """Recompute a release from the signed, proven shares and compare; the state that follows.

    A trustee and the coordinator together could move the sum by a share that combines all the
    same: only its equality proof shows it (0.06 s each at 3072 bits). Without ``proofs``, which is
    for transcripts whose ciphertexts have expired, that is not seen. Raises InvalidInput, or
    ProofInvalid that names the trustee.
    """
    release = transcript.release
    if release is None:
        raise InvalidInput("the transcript has no release")
    if transcript.context.model != state.digest():
        raise InvalidInput(
            f"the round starts from state {transcript.context.model[:16]}, "
            f"recomputed is {state.digest()[:16]}"
        )
    cohort = transcript.cohort()
    product = product_of(transcript, agreement=agreement) if proofs else []
    for signed in transcript.shares:
        if proofs:
            share_check(signed, agreement=agreement, cohort=cohort, product=product)
        else:
            share_signature_check(signed, agreement=agreement, cohort=cohort)
    expected, after = release_make(transcript, agreement=agreement, state=state, total=total)
    if (expected.values, expected.sum) != (release.values, release.sum):
        raise InvalidInput("the released sum differs from the one the shares combine to")
    if expected != release:
        raise InvalidInput("the released state differs from the recomputed server step")
    return after


def _digest(values: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(values, dtype="<i8").data).hexdigest()
