"""From submissions and noise to shares and statistics; recomputed by everybody who checks."""

from __future__ import annotations

import math

from federated.aggregation.vote_statistics import PERCENTILES_FROM, statistics_of
from federated.crypto.threshold import KeyShare, combine
from federated.errors import InvalidInput
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_noise import noise_ciphertexts
from federated.protocol.identity import SiteIdentity
from federated.protocol.share import share_check, share_of, share_signature_check
from federated.wire.base import Signed, decode_bytes
from federated.wire.campaign import (
    CampaignRelease,
    CampaignTranscript,
    Estimate,
    MetricRelease,
)
from federated.wire.round import DecryptionShare

# Statistics are doubles: another C library's exp and log may differ in the last places, and older
# releases took the variance of a wide Laplace by a formula that lost about half of its digits.
_TOLERANCE = 1e-6


def campaign_product(transcript: CampaignTranscript, *, agreement: CampaignAgreement) -> list[int]:
    """A ciphertext a metric: all votes and all noise shares of the transcript, multiplied."""
    key = agreement.key
    rows = [
        [key.decode_ciphertext(decode_bytes(vote.ciphertext)) for vote in signed.body.votes]
        for signed in transcript.submissions
    ]
    rows += [noise_ciphertexts(signed, agreement) for signed in transcript.noise]
    return [key.multiply(column) for column in zip(*rows, strict=True)]


def campaign_share_make(
    transcript: CampaignTranscript,
    *,
    agreement: CampaignAgreement,
    share: KeyShare,
    identity: SiteIdentity,
) -> Signed[DecryptionShare]:
    """The signed, proven share of a run's noised sum.

    First check the transcript, its charges and its noise, with this trustee's own share if it gave
    one, and remember the noised cohort on disk: two shares for two noised cohorts of one run give
    away their difference.
    """
    return share_of(
        campaign_product(transcript, agreement=agreement),
        cohort=transcript.noised(),
        agreement=agreement,
        share=share,
        identity=identity,
    )


def campaign_share_check(
    signed: Signed[DecryptionShare], *, transcript: CampaignTranscript, agreement: CampaignAgreement
) -> None:
    """Check one share whole: any trustee's, whether its noise is in the sum or not.

    Raises InvalidInput, SignatureInvalid or ProofInvalid.
    """
    share_check(
        signed,
        agreement=agreement,
        cohort=transcript.noised(),
        product=campaign_product(transcript, agreement=agreement),
    )


def campaign_release_make(
    transcript: CampaignTranscript, *, agreement: CampaignAgreement
) -> CampaignRelease:
    """Combine the transcript's shares, unpack the noisy sums, derive the statistics.

    The shares' proofs must have been checked. Raises InvalidInput with fewer than t.
    """
    key = agreement.key
    noised, spec = transcript.noised(), agreement.spec
    partials = {
        signed.body.index: [key.decode_ciphertext(decode_bytes(p)) for p in signed.body.partials]
        for signed in transcript.shares
    }
    plaintexts = combine(key, agreement.verification, partials)
    if len(plaintexts) != len(spec.metrics):
        raise InvalidInput(f"{len(plaintexts)} sums for {len(spec.metrics)} metrics")
    count, metrics = len(transcript.members), []
    for position, (metric, plaintext) in enumerate(zip(spec.metrics, plaintexts, strict=True)):
        layout = agreement.layouts[position]
        sums = layout.unpack(plaintext, key.n)
        metrics.append(
            MetricRelease(
                key=metric.key,
                slots=sums,
                illustrative=count < PERCENTILES_FROM,
                statistics=statistics_of(layout, sums, count=count, shares=len(noised.noise)),
            )
        )
    return CampaignRelease(
        context=noised.context, cohort=noised.digest(), count=count, metrics=tuple(metrics)
    )


def campaign_release_check(
    transcript: CampaignTranscript, *, agreement: CampaignAgreement, proofs: bool = True
) -> CampaignRelease:
    """Recompute a release from the signed, proven shares and compare; the release.

    Without ``proofs``, which is for transcripts whose ciphertexts have expired, a share that a
    trustee moved is not seen. Raises InvalidInput that says what differs, or ProofInvalid that
    names the trustee.
    """
    release = transcript.release
    if release is None:
        raise InvalidInput("the transcript has no release")
    noised = transcript.noised()
    if proofs and transcript.expired is not None:
        raise InvalidInput("the shares' proofs need the ciphertexts, which expired by retention")
    product = campaign_product(transcript, agreement=agreement) if proofs else []
    for signed in transcript.shares:
        if proofs:
            share_check(signed, agreement=agreement, cohort=noised, product=product)
        else:
            share_signature_check(signed, agreement=agreement, cohort=noised)
    expected = campaign_release_make(transcript, agreement=agreement)
    for name in ("context", "cohort", "count"):
        if getattr(release, name) != getattr(expected, name):
            raise InvalidInput(f"the release's {name} is not that of the transcript")
    if [m.key for m in release.metrics] != [m.key for m in expected.metrics]:
        raise InvalidInput("the release has other metrics than the campaign")
    for shown, found in zip(release.metrics, expected.metrics, strict=True):
        _compare(shown, found)
    return release


def _compare(shown: MetricRelease, found: MetricRelease) -> None:
    if shown.slots != found.slots:
        raise InvalidInput(f"{shown.key}: the released sums differ from what the shares combine to")
    same = shown.illustrative == found.illustrative and set(shown.statistics) == set(
        found.statistics
    )
    if not same or not all(
        _close(value, found.statistics[name]) for name, value in shown.statistics.items()
    ):
        raise InvalidInput(f"{shown.key}: the statistics do not follow from the released sums")


def _close(one: Estimate, other: Estimate) -> bool:
    pairs = ((getattr(one, end), getattr(other, end)) for end in ("value", "lower", "upper"))
    return all(math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=1e-12) for a, b in pairs)
