"""From t shares to the sums, and to what follows from them; recomputed by every site."""

from __future__ import annotations

from typing import Any

from federated.aggregation.base import Total
from federated.crypto.threshold import combine
from federated.errors import InvalidInput
from federated.protocol.agreement import AnyAgreement
from federated.protocol.kinds import kind_of
from federated.protocol.share import product_of, share_check, share_signature_check
from federated.wire.base import decode_bytes
from federated.wire.round import ClosedAttempt


def release_make(
    transcript: ClosedAttempt,
    *,
    agreement: AnyAgreement,
    state: Any = None,
    total: Total | None = None,
) -> tuple[Any, Any]:
    """Combine the transcript's shares: the release, and the state that follows from ``state``.

    Deterministic: whoever holds the transcript and the state before gets the same bytes. Training
    takes and gives a ServerState, benchmarks none; a masked job needs ``total``, which is total_of
    the same transcript. The shares' proofs must have been checked (share_check). Raises
    InvalidInput with fewer than t, or MaskKeyInvalid.
    """
    key = agreement.key
    partials = {
        signed.body.index: [key.decode_ciphertext(decode_bytes(p)) for p in signed.body.partials]
        for signed in transcript.shares
    }
    plaintexts = combine(key, agreement.verification, partials)
    return kind_of(agreement).release(
        transcript, plaintexts, agreement=agreement, state=state, total=total
    )


def release_check(
    transcript: ClosedAttempt,
    *,
    agreement: AnyAgreement,
    state: Any = None,
    proofs: bool = True,
    total: Total | None = None,
) -> Any:
    """Recompute a release from the signed, proven shares and compare; the state that follows.

    A trustee and the coordinator together could move the sum by a share that combines all the
    same: only its equality proof shows it (0.06 s each at 3072 bits). Without ``proofs``, which is
    for transcripts whose ciphertexts have expired, that is not seen. Raises InvalidInput that says
    what differs, or ProofInvalid that names the trustee.
    """
    if transcript.release is None:
        raise InvalidInput("the transcript has no release")
    kind = kind_of(agreement)
    kind.state_check(transcript.context, state)
    shares_check(transcript, agreement=agreement, proofs=proofs)
    expected, after = release_make(transcript, agreement=agreement, state=state, total=total)
    kind.release_compare(transcript.release, expected)
    return after


def shares_check(transcript: ClosedAttempt, *, agreement: AnyAgreement, proofs: bool = True) -> int:
    """Check the shares of a transcript; without ``proofs``, who signed them for what alone.

    Returns how many trustees' they are. Raises InvalidInput, SignatureInvalid or ProofInvalid.
    """
    if proofs and transcript.left:
        raise InvalidInput("the shares' proofs need the ciphertexts, which expired by retention")
    cohort = transcript.decrypted()
    product = product_of(transcript, agreement=agreement) if proofs else []
    for signed in transcript.shares:
        if proofs:
            share_check(signed, agreement=agreement, cohort=cohort, product=product)
        else:
            share_signature_check(signed, agreement=agreement, cohort=cohort)
    return len({signed.body.index for signed in transcript.shares})
