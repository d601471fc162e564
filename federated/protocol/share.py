"""A trustee's decryption share of what an attempt decrypts, and its check."""

from __future__ import annotations

from typing import Any

from federated.crypto.share_proofs import prove_shares, verify_shares
from federated.crypto.threshold import KeyShare, partial_decrypt
from federated.errors import InvalidInput, ProofInvalid
from federated.protocol.agreement import AnyAgreement
from federated.protocol.identity import SiteIdentity
from federated.protocol.kinds import kind_of
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.round import ClosedAttempt, DecryptionShare


def product_of(transcript: ClosedAttempt, *, agreement: AnyAgreement) -> list[int]:
    """The ciphertexts that trustees decrypt, recomputed from a transcript."""
    return kind_of(agreement).product(transcript, agreement=agreement)


def share_make(
    transcript: ClosedAttempt,
    *,
    agreement: AnyAgreement,
    share: KeyShare,
    identity: SiteIdentity,
) -> Signed[DecryptionShare]:
    """The signed, proven share.

    First check the transcript, its receipts and its noise, and remember what is decrypted on disk:
    two shares for two cohorts of one attempt give their difference away.
    """
    product, cohort = product_of(transcript, agreement=agreement), transcript.decrypted()
    partials = partial_decrypt(share, product)
    proof = prove_shares(
        share,
        agreement.verification,
        product,
        partials,
        context=bytes.fromhex(cohort.digest()),
    )
    key = agreement.key
    return identity.sign(
        DecryptionShare(
            context=cohort.context,
            cohort=cohort.digest(),
            organization=identity.organization,
            index=share.index,
            partials=tuple(encode_bytes(key.encode_ciphertext(value)) for value in partials),
            proof=encode_bytes(proof),
        )
    )


def share_signature_check(
    signed: Signed[DecryptionShare], *, agreement: AnyAgreement, cohort: Any
) -> None:
    """Check that a trustee of the epoch signed a share for exactly this cohort.

    Raises InvalidInput or SignatureInvalid. The values themselves are not checked here.
    """
    body = signed.body
    agreement.verify_trustee(signed)
    if body.context != cohort.context or body.cohort != cohort.digest():
        raise InvalidInput(f"share of {body.organization} is for another attempt or cohort")


def share_check(
    signed: Signed[DecryptionShare], *, agreement: AnyAgreement, cohort: Any, product: list[int]
) -> None:
    """Check one share whole: trustee, signature, cohort and equality proof.

    ``product`` is product_of the same transcript. Raises InvalidInput, SignatureInvalid or
    ProofInvalid.
    """
    share_signature_check(signed, agreement=agreement, cohort=cohort)
    key, name = agreement.key, signed.body.organization
    try:
        verify_shares(
            agreement.verification,
            signed.body.index,
            product,
            [key.decode_ciphertext(decode_bytes(value)) for value in signed.body.partials],
            decode_bytes(signed.body.proof),
            context=bytes.fromhex(cohort.digest()),
        )
    except ProofInvalid as error:
        raise ProofInvalid(f"share of {name}: {error}", organization=name) from error
