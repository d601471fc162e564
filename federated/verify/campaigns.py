"""Checks campaigns: recomputes votes, noise, product, shares and statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from federated.protocol.agreement import CampaignAgreement
from federated.protocol.noise import noise_left_check, noised_cohort_check
from federated.protocol.release import release_check
from federated.provenance.bundle import Bundle
from federated.provenance.verify import Check
from federated.verify.parts import (
    checked,
    closed_check,
    digests_in_log,
    epoch_check,
    gone,
    logged,
    records_of,
    retention_check,
    statements,
)
from federated.wire.campaign import CampaignRecord, CampaignTranscript

EXPIRED_TAG = "benchmarks:submissions:expired"
Expiries = frozenset[tuple[str, object]]
"""Campaign and run of every event that says that ciphertexts were deleted."""


def campaign_checks(bundle: Bundle) -> Iterable[Check]:
    """Check every campaign record of the bundle; one check per campaign, run and kind."""
    named = digests_in_log(bundle)
    expiries = frozenset(
        (e.subject.id, e.data.get("run")) for _, e in bundle.events() if e.tag == EXPIRED_TAG
    )
    for record in records_of(bundle, "campaigns", CampaignRecord, "campaign"):
        if isinstance(record, Check):
            yield record
        else:
            yield from _campaign(record, named, expiries)


def _campaign(record: CampaignRecord, named: frozenset[str], expiries: Expiries) -> Iterator[Check]:
    if not record.runs:
        yield Check("campaign", "skipped", "no run was closed, there is nothing to recompute")
        return
    spec, epoch = record.runs[0].spec, record.key_epoch
    label = f"campaign {spec.campaign_id[:8]}"
    yield epoch_check(label, epoch, spec.key_epoch)
    if epoch.digest() != spec.key_epoch:
        return
    agreement = CampaignAgreement(spec, epoch)
    yield checked(f"{label} privacy", partial(_privacy, agreement))
    runs = [transcript.context.run for transcript in record.runs]
    if len(set(runs)) != len(runs):
        yield Check(f"{label} runs", "failed", "a run is given twice")
    for transcript in record.runs:
        run = transcript.context.run
        name = f"{label} run {run}"
        yield checked(f"{name} votes", partial(closed_check, transcript, agreement))
        if transcript.expired is not None:
            said = (transcript.spec.campaign_id, run) in expiries
            yield checked(f"{name} retention", partial(retention_check, said, "submissions"))
            yield Check(f"{name} ciphertexts", "skipped", gone(transcript, agreement))
        if transcript.release is None:
            yield Check(f"{name} release", "skipped", "abandoned after it closed")
            continue
        yield checked(f"{name} noise", partial(_noise, transcript, agreement))
        yield checked(f"{name} release", partial(_release, transcript, agreement))
        yield checked(f"{name} in the log", partial(logged, transcript, agreement, named))
    groups: dict[str, tuple[Any, ...]] = {"verdicts": record.verdicts, "refusals": record.refusals}
    yield from statements(label, agreement, groups)


def _privacy(agreement: CampaignAgreement) -> str:
    agreement.check()
    spec = agreement.spec
    delta = "" if spec.noise.delta is None else f" at delta {spec.noise.delta:g}"
    return (
        f"epsilon {spec.noise.epsilon:g}{delta} a run over {len(spec.metrics)} metrics, "
        f"{spec.noise.kind} noise"
    )


def _noise(transcript: CampaignTranscript, agreement: CampaignAgreement) -> str:
    if transcript.expired is not None:
        names = noise_left_check(transcript, agreement=agreement)
        return f"shares of {', '.join(names)}, by digest"
    noised = noised_cohort_check(transcript, agreement=agreement)
    return f"shares of {', '.join(sorted(noised.noise))}, each once; not that they are random"


def _release(transcript: CampaignTranscript, agreement: CampaignAgreement) -> str:
    whole, release = transcript.expired is None, transcript.release
    release_check(transcript, agreement=agreement, proofs=whole)
    assert release is not None
    given = sum(len(metric.statistics) for metric in release.metrics)
    if not whole:
        shares = f"{len(transcript.shares)} signed shares combine to the sums"
        return f"{shares}, {given} statistics recomputed"
    return f"product, {len(transcript.shares)} share proofs and {given} statistics recomputed"
