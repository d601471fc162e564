"""What malicious sites and a malicious coordinator try, and the name each must be refused by."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

from federated.crypto import signatures
from federated.crypto.paillier import PublicKey
from federated.protocol.identity import SiteIdentity
from federated.simulation.coordinator import Played
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.round import Reason, Release, Transcript

OUTSIDER = "harbor"
SPLIT_VIEW = "smaller cohort to charge"
ALTERED_RELEASE = "altered release"
Forged = tuple[str, str, Any]
"""What is tried, the name of the refusal, and the forged message."""


def message_forge(
    rng: random.Random,
    *,
    kind: str,
    honest: Signed[Any],
    played: Played,
    older: Signed[Any] | None,
    identity: SiteIdentity,
    key: PublicKey,
) -> Forged:
    """One dishonest message of a site in place of the honest one.

    ``older`` is what the site sent of this kind in an attempt before.
    """
    body = honest.body

    def own(**changes: Any) -> Signed[Any]:
        return identity.sign(body.model_copy(update=changes))

    tries: list[Callable[[], Forged]] = [
        lambda: ("key swapped", "signature_invalid", _stranger(body, body.organization)),
        lambda: ("minted member", "forbidden", _stranger(body, OUTSIDER)),
    ]
    others = [s for n, s in played.sent[kind].items() if n != identity.organization]
    if others:
        victim = rng.choice(others)
        tries.append(lambda: ("posing as another site", "forbidden", victim))
    if older is not None:
        tries.append(lambda: ("replay of an older attempt", "context_mismatch", older))
    if kind == "contribution":
        scaled = tuple(_scaled(key, c) for c in body.ciphertexts)
        tries.append(lambda: ("scaled ciphertexts", "proof_invalid", own(ciphertexts=scaled)))
        if others:
            stolen = {"ciphertexts": victim.body.ciphertexts, "proof": victim.body.proof}
            tries.append(lambda: ("copied ciphertexts", "proof_invalid", own(**stolen)))
            whole = {**stolen, "masked": victim.body.masked}
            if victim.body.masked is not None:
                tries.append(lambda: ("copied masked vector", "proof_invalid", own(**whole)))
    if kind == "receipt":
        cheap = body.cost.model_copy(update={"rho": body.cost.rho / 2})
        tries.append(lambda: ("smaller charge", "charge_mismatch", own(cost=cheap)))
    if kind == "share":
        wrong = tuple(_scaled(key, partial) for partial in body.partials)
        tries.append(lambda: ("wrong share", "proof_invalid", own(partials=wrong)))
    return rng.choice(tries)()


def transcript_forge(
    rng: random.Random, *, honest: Transcript, state: str, minimum: int, name: str
) -> Forged:
    """What a coordinator shows a site in place of the honest transcript of an attempt."""

    def changed(**changes: Any) -> Transcript:
        return honest.model_copy(update=changes)

    contributions, privacy = honest.contributions, honest.spec.body.privacy
    if state == "released":
        assert honest.release is not None
        release = honest.release.model_copy(update=_altered(honest.release))
        return ALTERED_RELEASE, "", changed(release=release)
    louder = privacy.model_copy(update={"epsilon": 8 * (privacy.epsilon or 1)})
    body = honest.spec.body.model_copy(update={"privacy": louder})
    spec = honest.spec.model_copy(update={"body": body})
    few = contributions[: minimum - 1]
    twice = (*contributions, contributions[-1])
    minted = (*contributions, _stranger(contributions[0].body, OUTSIDER))
    later = honest.context.model_copy(update={"attempt": honest.context.attempt + 1})
    tries: list[Forged] = [
        ("changed spec", Reason.SPEC_CHANGED, changed(spec=spec)),
        ("approval left out", Reason.APPROVAL_MISSING, changed(approvals=honest.approvals[1:])),
        ("cohort below the minimum", Reason.COHORT_BELOW_MINIMUM, changed(contributions=few)),
        ("member twice", Reason.MEMBER_REPEATED, changed(contributions=twice)),
        ("minted member in the cohort", Reason.MEMBER_UNKNOWN, changed(contributions=minted)),
        ("context of another attempt", Reason.CONTEXT_MIXED, changed(context=later)),
    ]
    others = [c.body.organization for c in contributions if c.body.organization != name]
    fewer = tuple(c for c in contributions if c.body.organization != others[-1])
    if state == "charging" and len(fewer) >= minimum:
        tries += [(SPLIT_VIEW, "", changed(contributions=fewer))] * 3
    if state == "decrypting":
        tries.append(("charge left out", Reason.CHARGE_MISSING, changed(receipts=())))
        if len(fewer) >= minimum:
            there = {c.body.organization for c in fewer}
            receipts = tuple(r for r in honest.receipts if r.body.organization in there)
            smaller = changed(contributions=fewer, receipts=receipts)
            tries.append(("cohort that differs by one", Reason.CHARGE_MISMATCH, smaller))
    return rng.choice(tries)


def _altered(release: Release) -> dict[str, Any]:
    """Another sum: one value off, or another digest of them."""
    if release.sum is not None:
        return {"sum": hashlib.sha256(release.sum.encode()).hexdigest()}
    return {"values": (release.values[0] + 1, *release.values[1:])}


def _stranger(body: Any, organization: str) -> Signed[Any]:
    """The body in an organization's name, signed by a key that nobody pinned."""
    posing = SiteIdentity(organization, signatures.generate_private_key())
    return posing.sign(body.model_copy(update={"organization": organization}))


def _scaled(key: PublicKey, text: str) -> str:
    squared = pow(key.decode_ciphertext(decode_bytes(text)), 2, key.n_squared)
    return encode_bytes(key.encode_ciphertext(squared))
