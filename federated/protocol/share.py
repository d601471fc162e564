"""A trustee's decryption share of a cohort's product, and its check."""

from __future__ import annotations

from federated.crypto.share_proofs import prove_shares, verify_shares
from federated.crypto.threshold import KeyShare, partial_decrypt
from federated.errors import InvalidInput, ProofInvalid
from federated.protocol.agreement import AnyAgreement, JobAgreement
from federated.protocol.identity import SiteIdentity, verify_signed
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.campaign import NoisedCohort
from federated.wire.round import Cohort, DecryptionShare, Transcript


def product_of(transcript: Transcript, *, agreement: JobAgreement) -> list[int]:
    """The ciphertexts of the cohort's sum, recomputed from its contributions."""
    combined = agreement.aggregator.combine(
        [
            [decode_bytes(ciphertext) for ciphertext in signed.body.ciphertexts]
            for signed in transcript.contributions
        ]
    )
    return [int.from_bytes(ciphertext, "big") for ciphertext in combined]


def share_make(
    transcript: Transcript,
    *,
    agreement: JobAgreement,
    share: KeyShare,
    identity: SiteIdentity,
) -> Signed[DecryptionShare]:
    """The signed, proven share. Check the transcript and its receipts first, and remember the
    cohort on disk: two shares for two cohorts of one attempt give their difference away."""
    product = product_of(transcript, agreement=agreement)
    return share_of(
        product, cohort=transcript.cohort(), agreement=agreement, share=share, identity=identity
    )


def share_of(
    product: list[int],
    *,
    cohort: Cohort | NoisedCohort,
    agreement: AnyAgreement,
    share: KeyShare,
    identity: SiteIdentity,
) -> Signed[DecryptionShare]:
    """The signed, proven share of ciphertexts that the trustee itself recomputed for ``cohort``."""
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
    signed: Signed[DecryptionShare], *, agreement: AnyAgreement, cohort: Cohort | NoisedCohort
) -> None:
    """Check that a trustee of the epoch signed a share for exactly this cohort.

    Raises InvalidInput or SignatureInvalid. The values themselves are not checked here.
    """
    body = signed.body
    trustee = agreement.trustee(body.organization)
    if trustee is None or trustee.index != body.index:
        raise InvalidInput(f"organization: {body.organization} is not trustee {body.index}")
    verify_signed(signed, trustee.public_key)
    if body.context != cohort.context or body.cohort != cohort.digest():
        raise InvalidInput(f"share of {body.organization} is for another attempt or cohort")


def share_check(
    signed: Signed[DecryptionShare],
    *,
    agreement: AnyAgreement,
    cohort: Cohort | NoisedCohort,
    product: list[int],
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
