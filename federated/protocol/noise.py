"""A trustee's noise share for one cohort: drawn once, encrypted, proven, signed; and its checks.

Each trustee of the quorum adds a whole share. Under Laplace noise one share alone gives the run's
pure epsilon, so one honest trustee is enough; under Gaussian noise t - f do. What no check can show
is that another trustee's share was drawn as it should be: it may spoil a release, not reveal it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from fractions import Fraction

from federated.aggregation.votes import VoteLayout
from federated.crypto import proofs
from federated.errors import InvalidInput
from federated.privacy import discrete_gaussian, discrete_laplace
from federated.privacy.discrete_laplace import Below
from federated.protocol.agreement import AnyAgreement
from federated.protocol.checks import blaming
from federated.protocol.identity import SiteIdentity
from federated.protocol.refused import Refused
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.campaign import (
    CampaignTranscript,
    NoisedCohort,
    SubmissionCohort,
    TrusteeNoise,
)
from federated.wire.round import Reason


def noise_draw(layout: VoteLayout, *, below: Below = secrets.randbelow) -> list[int]:
    """One share for each slot. ``below`` other than the system's is for simulation."""
    return [_draw(slot.scale, below) for slot in layout.slots]


def _draw(scale: Fraction | float, below: Below) -> int:
    if isinstance(scale, Fraction):
        return discrete_laplace.sample(scale, below=below)
    draws = discrete_gaussian.sample(scale, 1, source=lambda n: below(256**n).to_bytes(n, "big"))
    return int(draws[0])


def noise_make(
    *, agreement: AnyAgreement, cohort: SubmissionCohort, identity: SiteIdentity
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
    plaintexts = [layout.pack(noise_draw(layout)) for layout in agreement.layouts]
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
    signed: Signed[TrusteeNoise], *, agreement: AnyAgreement, cohort: SubmissionCohort
) -> None:
    """Check trustee, signature, cohort and proof of plaintext knowledge of one noise share.

    Raises InvalidInput, SignatureInvalid or ProofInvalid.
    """
    body = signed.body
    agreement.verify_trustee(signed)
    if body.context != cohort.context or body.cohort != cohort.digest():
        raise InvalidInput(f"noise of {body.organization} is for another run or cohort")
    if len(body.ciphertexts) != len(agreement.layouts):
        raise InvalidInput(
            f"noise of {body.organization} has {len(body.ciphertexts)} ciphertexts, "
            f"the {agreement.NOUN} takes {len(agreement.layouts)}"
        )
    key = agreement.key
    proofs.verify(
        key,
        noise_ciphertexts(signed, agreement),
        proofs.PlaintextProof.decode(key, decode_bytes(body.proof)),
        context=bytes.fromhex(body.cohort),
        organization=body.organization,
    )


def noise_ciphertexts(signed: Signed[TrusteeNoise], agreement: AnyAgreement) -> list[int]:
    """A share's ciphertexts, a metric each. Raises InvalidInput for an impossible one."""
    key = agreement.key
    return [key.decode_ciphertext(decode_bytes(text)) for text in signed.body.ciphertexts]


def noised_cohort_check(
    transcript: CampaignTranscript,
    *,
    agreement: AnyAgreement,
    own: Signed[TrusteeNoise] | None = None,
) -> NoisedCohort:
    """Check the noise shares of a transcript whose cohort was checked.

    At least t trustees' shares, each once, each signed and proven for this cohort: with fewer than
    t colluding, one of them is an honest trustee's, whoever decrypts. ``own`` is the share that
    this trustee keeps on its disk, if it gave one: what stands for it must be exactly that. It may
    be left out where t others are in. Raises Refused.
    """
    cohort = transcript.cohort()
    _names_check([signed.body.organization for signed in transcript.noise], agreement)
    for signed in transcript.noise:
        name = signed.body.organization
        if signed.body.context != cohort.context or signed.body.cohort != cohort.digest():
            raise Refused(
                Reason.CONTEXT_MIXED, f"noise of {name} is bound to another run or cohort"
            )
        with blaming(f"noise of {name}"):
            noise_check(signed, agreement=agreement, cohort=cohort)
    if own is not None:
        _check_own_noise(transcript, own, cohort)
    return transcript.decrypted()


def _names_check(names: Sequence[str], agreement: AnyAgreement) -> None:
    """At least t trustees' noise, each once. Raises Refused."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Refused(Reason.NOISE_REPEATED, f"more than one noise share of {repeated[0]}")
    if len(names) < agreement.threshold:
        raise Refused(
            Reason.NOISE_MISSING,
            f"{len(names)} noise shares ({', '.join(sorted(names))}), "
            f"{agreement.threshold} are needed",
        )


def _check_own_noise(
    transcript: CampaignTranscript, own: Signed[TrusteeNoise], cohort: SubmissionCohort
) -> None:
    name = own.body.organization
    if own.body.cohort != cohort.digest():
        raise Refused(
            Reason.COHORT_ALREADY_SERVED,
            f"noise of {name} is bound to cohort {own.body.cohort[:16]}, asked for "
            f"{cohort.digest()[:16]}",
        )
    shown = next((s for s in transcript.noise if s.body.organization == name), None)
    if shown is not None and shown.digest() != own.digest():
        raise Refused(Reason.NOISE_CHANGED, f"the noise of {name} is not the share it keeps")


def noise_left_check(transcript: CampaignTranscript, *, agreement: AnyAgreement) -> list[str]:
    """That t of the key's trustees are named, where the noise itself is past its retention.

    Returns their names. Raises Refused.
    """
    names = [left.organization for left in transcript.noise_left]
    _names_check(names, agreement)
    for name in names:
        if agreement.trustee(name) is None:
            raise Refused(Reason.PROOF_INVALID, f"noise of {name}, which is no trustee")
    return sorted(names)
