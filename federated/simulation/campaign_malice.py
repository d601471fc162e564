"""What malicious organizations and a lying coordinator try in a campaign, and how it is refused."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable

from federated.crypto.paillier import PublicKey
from federated.crypto.vote_proofs import CHALLENGE_BITS, VoteProof
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.identity import SiteIdentity
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.campaign import CampaignSpec, CampaignTranscript, Submission, Vote
from federated.wire.round import Reason

Lie = tuple[str, Reason, CampaignTranscript]
"""What is shown to a trustee, and the reason that it must be refused by."""


def submission_forge(
    rng: random.Random,
    cheat: SiteIdentity,
    *,
    honest: Signed[Submission],
    others: list[Signed[Submission]],
    agreement: CampaignAgreement,
) -> tuple[str, Signed[Submission]]:
    """One dishonest submission in place of an honest one; each must be refused: proof_invalid."""

    def signed(votes: tuple[Vote, ...]) -> Signed[Submission]:
        return cheat.sign(honest.body.model_copy(update={"votes": votes}))

    first, *rest = honest.body.votes
    tries: list[tuple[str, Callable[[], Signed[Submission]]]] = [
        ("vote outside the grid", lambda: signed((_outside(agreement), *rest))),
        ("scaled ciphertext", lambda: signed((_scaled(first, agreement.key), *rest))),
    ]
    if others:
        victim = rng.choice(others)
        tries.append(("copied vote", lambda: signed(victim.body.votes)))
    if rest:
        tries.append(("votes at other positions", lambda: signed((*rest, first))))
    name, make = rng.choice(tries)
    return name, make()


def _outside(agreement: CampaignAgreement) -> Vote:
    """Half the cohort's weight in one vote, with a proof whose equations all hold."""
    key, layout = agreement.key, agreement.layouts[0]
    forged = key.encrypt(layout.codewords[-1] * (len(agreement.participants) // 2)).ciphertext
    parts: list[tuple[int, int, int]] = []
    for plaintext in layout.codewords:
        e, w = secrets.randbits(CHALLENGE_BITS), secrets.randbits(key.exponent_bits)
        base = forged * key.plaintext_power(-plaintext) % key.n_squared
        commitment = key.h0_power(w) * pow(base, -e, key.n_squared) % key.n_squared
        parts.append((commitment, e, w))
    proof = VoteProof(*(tuple(column) for column in zip(*parts, strict=True)))
    return Vote(
        ciphertext=encode_bytes(key.encode_ciphertext(forged)),
        proof=encode_bytes(proof.encode(key)),
    )


def _scaled(vote: Vote, key: PublicKey) -> Vote:
    c = key.decode_ciphertext(decode_bytes(vote.ciphertext))
    scaled = key.encode_ciphertext(pow(c, 200, key.n_squared))
    return vote.model_copy(update={"ciphertext": encode_bytes(scaled)})


def lies_of(transcript: CampaignTranscript, trustee: str, *, spec: CampaignSpec) -> list[Lie]:
    """Transcripts that a coordinator could show ``trustee`` in place of the right one."""

    def shown(**changes: object) -> CampaignTranscript:
        return transcript.model_copy(update=changes)

    others = tuple(s for s in transcript.noise if s.body.organization != trustee)
    few = transcript.submissions[: spec.minimum_cohort - 1]
    lies = [
        ("noise left out", Reason.NOISE_MISSING, shown(noise=others)),
        ("noise doubled", Reason.NOISE_REPEATED, shown(noise=(*transcript.noise, others[0]))),
        ("a small cohort", Reason.COHORT_BELOW_MINIMUM, shown(submissions=few)),
        (
            "a doubled submission",
            Reason.MEMBER_REPEATED,
            shown(submissions=(*transcript.submissions, transcript.submissions[0])),
        ),
        ("a charge left out", Reason.CHARGE_MISSING, shown(receipts=transcript.receipts[1:])),
    ]
    if len(transcript.submissions) > spec.minimum_cohort:
        smaller = shown(submissions=transcript.submissions[:-1])
        lies.append(("a smaller cohort than was charged", Reason.CHARGE_MISMATCH, smaller))
    return lies
