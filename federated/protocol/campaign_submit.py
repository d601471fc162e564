"""A site's submission to a run: round to the grid, encrypt, prove, sign; and its checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from federated.aggregation.votes import nearest_point
from federated.crypto import vote_proofs
from federated.crypto.vote_proofs import Statement, VoteProof
from federated.errors import InvalidInput, ProofInvalid
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.identity import SiteIdentity
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.campaign import (
    CampaignContext,
    CampaignSpec,
    Measured,
    Metric,
    Submission,
    Vote,
    grid_points,
)


def vote_points(spec: CampaignSpec, measured: Mapping[str, Measured]) -> list[int]:
    """The grid point of each metric's measurement, in the spec's order.

    Raises InvalidInput for an unknown or missing metric, another unit, or a value out of bounds
    where the campaign refuses those.
    """
    keys = [metric.key for metric in spec.metrics]
    unknown = sorted(set(measured) - set(keys))
    if unknown:
        raise InvalidInput(f"{unknown[0]}: no metric of this campaign; allowed: {', '.join(keys)}")
    missing = [key for key in keys if key not in measured]
    if missing:
        raise InvalidInput(f"{missing[0]}: not measured; the campaign asks for {', '.join(keys)}")
    return [_point(metric, measured[metric.key]) for metric in spec.metrics]


def vote_values(spec: CampaignSpec, measured: Mapping[str, Measured]) -> dict[str, float]:
    """What a site would send, in clear, for its people to see first: the rounded values."""
    points = vote_points(spec, measured)
    return {
        metric.key: grid_points(metric)[point]
        for metric, point in zip(spec.metrics, points, strict=True)
    }


def _point(metric: Metric, measured: Measured) -> int:
    if measured.unit != metric.unit:
        raise InvalidInput(f"{metric.key}: measured in {measured.unit}, the unit is {metric.unit}")
    value = measured.value
    if not metric.lower <= value <= metric.upper:
        if metric.out_of_bounds == "refuse":
            raise InvalidInput(
                f"{metric.key}: {value:g} {metric.unit} is out of the public bounds "
                f"{metric.lower:g} to {metric.upper:g}, and the campaign refuses to clamp"
            )
        value = min(max(value, metric.lower), metric.upper)
    return nearest_point(metric, value)


def submission_make(
    *,
    agreement: CampaignAgreement,
    context: CampaignContext,
    identity: SiteIdentity,
    measured: Mapping[str, Measured],
) -> Signed[Submission]:
    """The signed submission of a site's measurements (see vote_points for what is refused).

    Store it before it is sent and resend those bytes. No noise is added here: a codeword cannot
    carry it, and the trustees' covers the sum.
    """
    digest = context.digest()
    key = agreement.key
    votes = []
    for position, point in enumerate(vote_points(agreement.spec, measured)):
        codewords = agreement.layouts[position].codewords
        encryption = key.encrypt(codewords[point])
        statement = Statement(
            encryption.ciphertext,
            codewords,
            bytes.fromhex(digest),
            identity.organization,
            position,
        )
        proof = vote_proofs.prove(key, statement, point, encryption)
        votes.append(
            Vote(
                ciphertext=encode_bytes(key.encode_ciphertext(encryption.ciphertext)),
                proof=encode_bytes(proof.encode(key)),
            )
        )
    return identity.sign(
        Submission(context=digest, organization=identity.organization, votes=tuple(votes))
    )


def submission_check(
    signed: Signed[Submission], *, agreement: CampaignAgreement, context: CampaignContext
) -> None:
    """Check signature, context, shape and proofs of one submission.

    Raises Refused(member_unknown), SignatureInvalid, InvalidInput (context, number or range of
    ciphertexts) or ProofInvalid.
    """
    submission_form_check(signed, agreement=agreement, context=context)
    for claim in _claims(signed, agreement):
        vote_proofs.verify(agreement.key, *claim)


def submission_form_check(
    signed: Signed[Submission], *, agreement: CampaignAgreement, context: CampaignContext
) -> None:
    """All of submission_check but the proofs. Raises SignatureInvalid, InvalidInput or
    Refused(member_unknown).
    """
    body = signed.body
    agreement.verify(signed)
    digest = context.digest()
    if body.context != digest:
        raise InvalidInput(f"context: bound to {body.context[:16]}, this run's is {digest[:16]}")
    if len(body.votes) != len(agreement.spec.metrics):
        wanted = len(agreement.spec.metrics)
        raise InvalidInput(f"votes: {len(body.votes)} votes, the campaign has {wanted} metrics")


def votes_check(submissions: Sequence[Signed[Submission]], *, agreement: CampaignAgreement) -> None:
    """Check the proofs of many submissions in one batch, which takes a third of the time.

    Their form must have been checked. Raises InvalidInput or ProofInvalid naming the first
    organization at fault.
    """
    claims = [claim for signed in submissions for claim in _claims(signed, agreement)]
    wrong = vote_proofs.find_invalid(agreement.key, claims)
    if wrong:
        statement, _ = claims[wrong[0]]
        metric = agreement.spec.metrics[statement.position].key
        raise ProofInvalid(
            f"the vote of {statement.organization} for {metric} is not proven to be one of the "
            "grid points in this context",
            organization=statement.organization,
            position=statement.position,
        )


def _claims(
    signed: Signed[Submission], agreement: CampaignAgreement
) -> list[tuple[Statement, VoteProof]]:
    body, key = signed.body, agreement.key
    claims = []
    for position, vote in enumerate(body.votes):
        codewords = agreement.layouts[position].codewords
        statement = Statement(
            key.decode_ciphertext(decode_bytes(vote.ciphertext)),
            codewords,
            bytes.fromhex(body.context),
            body.organization,
            position,
        )
        proof = VoteProof.decode(key, decode_bytes(vote.proof), len(codewords))
        claims.append((statement, proof))
    return claims
