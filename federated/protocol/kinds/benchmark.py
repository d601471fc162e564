"""Benchmarks: one vote per metric, noise by the trustees, one attempt per run."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from federated.aggregation.vote_statistics import PERCENTILES_FROM, statistics_of
from federated.aggregation.votes import nearest_point
from federated.crypto import vote_proofs
from federated.crypto.vote_proofs import Statement, VoteProof
from federated.errors import InvalidInput, ProofInvalid
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.checks import blaming
from federated.protocol.identity import SiteIdentity
from federated.protocol.kinds.base import Closed, Kind
from federated.protocol.noise import noise_ciphertexts
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.campaign import (
    CampaignContext,
    CampaignRelease,
    CampaignSpec,
    CampaignTranscript,
    Estimate,
    Measured,
    Metric,
    MetricRelease,
    Submission,
    SubmissionCohort,
    Vote,
    grid_points,
)
from federated.wire.round import Reason
from federated.wire.site import Work

# Statistics are doubles: another C library's exp and log may differ in the last places, and older
# releases took the variance of a wide Laplace by a formula that lost about half of its digits.
_TOLERANCE = 1e-6


class CampaignClosed(Closed):
    code = "campaign_closed"
    title = "The campaign is past this"


class Benchmark(Kind):
    """A run of a campaign. An abandoned run is not repeated: the next one is due by schedule."""

    name = "benchmark"
    spec = CampaignSpec
    agreement = CampaignAgreement
    contribution = "submission"
    work = Work.SUBMIT
    gone = Reason.SUBMISSION_EXPIRED
    changed = Reason.OWN_SUBMISSION_CHANGED
    closed = CampaignClosed
    noising = True
    replaceable = True
    must_release = False

    def judges(self, *, approved: Collection[str], members: Collection[str]) -> Collection[str]:
        """The cohort's members: nothing that the others do starts from a run's release."""
        return members

    def epsilon(self, spec: CampaignSpec) -> float:
        return spec.noise.epsilon

    def contribution_check(
        self, signed: Signed[Submission], *, agreement: CampaignAgreement, context: CampaignContext
    ) -> None:
        _form_check(signed, agreement=agreement, context=context)
        for claim in _claims(signed, agreement):
            vote_proofs.verify(agreement.key, *claim)

    def contributions_check(
        self,
        given: Sequence[Signed[Submission]],
        *,
        agreement: CampaignAgreement,
        context: CampaignContext,
    ) -> None:
        """All proofs are checked in one batch, which takes a third of the time."""
        for signed in given:
            with blaming(f"submission of {signed.body.organization}"):
                _form_check(signed, agreement=agreement, context=context)
        with blaming("submissions"):
            _votes_check(given, agreement)

    def cohort(self, *, context: str, members: Mapping[str, str]) -> SubmissionCohort:
        return SubmissionCohort(context=context, members=dict(members))

    def product(self, transcript: CampaignTranscript, *, agreement: CampaignAgreement) -> list[int]:
        """A ciphertext a metric: all votes and all noise shares multiplied."""
        key = agreement.key
        rows = [
            [key.decode_ciphertext(decode_bytes(vote.ciphertext)) for vote in signed.body.votes]
            for signed in transcript.submissions
        ]
        rows += [noise_ciphertexts(signed, agreement) for signed in transcript.noise]
        return [key.multiply(column) for column in zip(*rows, strict=True)]

    def release(
        self,
        transcript: CampaignTranscript,
        plaintexts: list[int],
        *,
        agreement: CampaignAgreement,
        state: None,
        total: None,
    ) -> tuple[CampaignRelease, None]:
        """Unpack the noisy sums, derive the statistics."""
        noised, spec = transcript.decrypted(), agreement.spec
        if len(plaintexts) != len(spec.metrics):
            raise InvalidInput(f"{len(plaintexts)} sums for {len(spec.metrics)} metrics")
        count, metrics = len(transcript.given) + len(transcript.left), []
        columns = zip(spec.metrics, agreement.layouts, plaintexts, strict=True)
        for metric, layout, plaintext in columns:
            sums = layout.unpack(plaintext, agreement.key.n)
            metrics.append(
                MetricRelease(
                    key=metric.key,
                    slots=sums,
                    illustrative=count < PERCENTILES_FROM,
                    statistics=statistics_of(layout, sums, count=count, shares=len(noised.noise)),
                )
            )
        release = CampaignRelease(
            context=noised.context, cohort=noised.digest(), count=count, metrics=tuple(metrics)
        )
        return release, None

    def release_compare(self, shown: CampaignRelease, expected: CampaignRelease) -> None:
        for name in ("context", "cohort", "count"):
            if getattr(shown, name) != getattr(expected, name):
                raise InvalidInput(f"the release's {name} is not that of the transcript")
        if [m.key for m in shown.metrics] != [m.key for m in expected.metrics]:
            raise InvalidInput("the release has other metrics than the campaign")
        for one, other in zip(shown.metrics, expected.metrics, strict=True):
            _compare(one, other)


BENCHMARK = Benchmark()


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


def _form_check(
    signed: Signed[Submission], *, agreement: CampaignAgreement, context: CampaignContext
) -> None:
    """All that a submission must be but its proofs."""
    body, digest, wanted = signed.body, context.digest(), len(agreement.spec.metrics)
    agreement.verify(signed)
    if body.context != digest:
        raise InvalidInput(f"context: bound to {body.context[:16]}, this run's is {digest[:16]}")
    if len(body.votes) != wanted:
        raise InvalidInput(f"votes: {len(body.votes)} votes, the campaign has {wanted} metrics")


def _votes_check(given: Sequence[Signed[Submission]], agreement: CampaignAgreement) -> None:
    """Raises InvalidInput or ProofInvalid naming the first organization at fault."""
    claims = [claim for signed in given for claim in _claims(signed, agreement)]
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


def _compare(shown: MetricRelease, expected: MetricRelease) -> None:
    if shown.slots != expected.slots:
        raise InvalidInput(f"{shown.key}: the released sums differ from what the shares combine to")
    same = shown.illustrative == expected.illustrative and set(shown.statistics) == set(
        expected.statistics
    )
    if not same or not all(
        _close(value, expected.statistics[name]) for name, value in shown.statistics.items()
    ):
        raise InvalidInput(f"{shown.key}: the statistics do not follow from the released sums")


def _close(one: Estimate, other: Estimate) -> bool:
    pairs = ((getattr(one, end), getattr(other, end)) for end in ("value", "lower", "upper"))
    return all(math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=1e-12) for a, b in pairs)
