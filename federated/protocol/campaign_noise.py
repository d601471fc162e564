"""A trustee's noise share for one cohort: drawn once, encrypted, proven, signed; and its checks.

Each trustee of the quorum adds a whole share. Under Laplace noise one share alone gives the run's
pure epsilon, so one honest trustee is enough; under Gaussian noise t - f do. What no check can show
is that another trustee's share was drawn as it should be: it may spoil a release, not reveal it.
"""

from __future__ import annotations

import secrets
from fractions import Fraction

from federated.aggregation.votes import VoteLayout
from federated.crypto import proofs
from federated.errors import InvalidInput
from federated.privacy import discrete_gaussian, discrete_laplace
from federated.privacy.discrete_laplace import Below
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.identity import SiteIdentity, verify_signed
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.campaign import SubmissionCohort, TrusteeNoise


def noise_draw(layout: VoteLayout, *, below: Below = secrets.randbelow) -> list[int]:
    """One share for each slot. ``below`` other than the system's is for simulation."""
    return [_draw(slot.scale, below) for slot in layout.slots]


def _draw(scale: Fraction | float, below: Below) -> int:
    if isinstance(scale, Fraction):
        return discrete_laplace.sample(scale, below=below)
    draws = discrete_gaussian.sample(scale, 1, source=lambda n: below(256**n).to_bytes(n, "big"))
    return int(draws[0])


def noise_make(
    *,
    agreement: CampaignAgreement,
    cohort: SubmissionCohort,
    identity: SiteIdentity,
) -> Signed[TrusteeNoise]:
    """The trustee's signed noise for this cohort. Check the transcript first.

    Every call draws anew: write the result to the disk, synced, before it is sent; send it again
    rather than draw again (two noises for one cohort give their difference, and averaging undoes
    them); and keep it to compare with what is to be decrypted. Raises InvalidInput where the site
    is no trustee of the epoch.
    """
    trustee = agreement.trustee(identity.organization)
    if trustee is None:
        raise InvalidInput(f"{identity.organization} holds no share of this key epoch")
    key = agreement.key
    plaintexts = []
    for layout in agreement.layouts:
        plaintexts.append(layout.pack(noise_draw(layout)))
    encryptions = [key.encrypt(plaintext) for plaintext in plaintexts]
    digest = cohort.digest()
    proof = proofs.prove(
        key,
        plaintexts,
        encryptions,
        context=bytes.fromhex(digest),
        organization=identity.organization,
    )
    return identity.sign(
        TrusteeNoise(
            context=cohort.context,
            cohort=digest,
            organization=identity.organization,
            index=trustee.index,
            ciphertexts=tuple(
                encode_bytes(key.encode_ciphertext(e.ciphertext)) for e in encryptions
            ),
            proof=encode_bytes(proof.encode(key)),
        )
    )


def noise_check(
    signed: Signed[TrusteeNoise],
    *,
    agreement: CampaignAgreement,
    cohort: SubmissionCohort,
) -> None:
    """Check trustee, signature, cohort and proof of plaintext knowledge of one noise share.

    Raises InvalidInput, SignatureInvalid or ProofInvalid.
    """
    body = signed.body
    trustee = agreement.trustee(body.organization)
    if trustee is None or trustee.index != body.index:
        raise InvalidInput(f"organization: {body.organization} is not trustee {body.index}")
    verify_signed(signed, trustee.public_key)
    if body.context != cohort.context or body.cohort != cohort.digest():
        raise InvalidInput(f"noise of {body.organization} is for another run or cohort")
    if len(body.ciphertexts) != len(agreement.spec.metrics):
        raise InvalidInput(
            f"noise of {body.organization} has {len(body.ciphertexts)} ciphertexts, "
            f"the campaign has {len(agreement.spec.metrics)} metrics"
        )
    key = agreement.key
    proofs.verify(
        key,
        noise_ciphertexts(signed, agreement),
        proofs.PlaintextProof.decode(key, decode_bytes(body.proof)),
        context=bytes.fromhex(body.cohort),
        organization=body.organization,
    )


def noise_ciphertexts(signed: Signed[TrusteeNoise], agreement: CampaignAgreement) -> list[int]:
    """A share's ciphertexts, a metric each. Raises InvalidInput for an impossible one."""
    key = agreement.key
    return [key.decode_ciphertext(decode_bytes(text)) for text in signed.body.ciphertexts]
