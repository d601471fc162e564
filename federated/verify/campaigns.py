"""Checks campaigns: recomputes votes, noise, product, shares and statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from federated.errors import InvalidInput
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.campaign_expired import campaign_expired_check, expired_noise_check
from federated.protocol.campaign_release import campaign_release_check
from federated.protocol.campaign_transcript import (
    campaign_transcript_check,
    noised_cohort_check,
)
from federated.protocol.checks import charges_check
from federated.provenance.bundle import Bundle
from federated.provenance.verify import Check
from federated.verify.parts import (
    checked,
    digests_in_log,
    equal,
    named_in_log,
    records_of,
    signatures,
)
from federated.wire.base import Message, Signed
from federated.wire.campaign import CampaignRecord, CampaignSpec, CampaignTranscript
from federated.wire.job import Participant
from federated.wire.key import KeyEpoch

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
    yield checked(f"{label} key epoch", partial(_key_epoch, spec, epoch))
    if epoch.digest() != spec.key_epoch:
        return
    agreement = CampaignAgreement(spec, epoch)
    yield checked(f"{label} privacy", partial(_privacy, agreement))
    runs = [transcript.context.run for transcript in record.runs]
    if len(set(runs)) != len(runs):
        yield Check(f"{label} runs", "failed", "a run is given twice")
    for transcript in record.runs:
        name = f"{label} run {transcript.context.run}"
        yield checked(f"{name} votes", partial(_votes, transcript, agreement))
        if transcript.expired is not None:
            yield checked(f"{name} retention", partial(_retention, transcript, expiries))
            yield Check(f"{name} ciphertexts", "skipped", _gone(transcript))
        if transcript.release is None:
            yield Check(f"{name} release", "skipped", "abandoned after it closed")
            continue
        yield checked(f"{name} noise", partial(_noise, transcript, agreement))
        yield checked(f"{name} release", partial(_release, transcript, agreement))
        yield checked(f"{name} in the log", partial(_logged, transcript, named))
    yield from _statements(record, spec, label)


def _key_epoch(spec: CampaignSpec, epoch: KeyEpoch) -> str:
    return equal(epoch.digest(), spec.key_epoch, "key epoch digest")


def _privacy(agreement: CampaignAgreement) -> str:
    agreement.check()
    spec = agreement.spec
    delta = "" if spec.noise.delta is None else f" at delta {spec.noise.delta:g}"
    return (
        f"epsilon {spec.noise.epsilon:g}{delta} a run over {len(spec.metrics)} metrics, "
        f"{spec.noise.kind} noise"
    )


def _votes(transcript: CampaignTranscript, agreement: CampaignAgreement) -> str:
    check = campaign_transcript_check if transcript.expired is None else campaign_expired_check
    cohort = check(transcript, agreement=agreement)
    if transcript.release is not None or transcript.shares:
        charges_check(transcript.receipts, agreement=agreement, cohort=cohort)
    proofs = f"with {len(agreement.spec.metrics)} vote proofs each"
    return (
        f"{len(cohort.members)} submissions {proofs if transcript.submissions else 'by digest'}, "
        f"{len(transcript.approvals)} countersignatures, {len(transcript.receipts)} charges"
    )


def _noise(transcript: CampaignTranscript, agreement: CampaignAgreement) -> str:
    if transcript.expired is not None:
        names = expired_noise_check(transcript, agreement=agreement)
        return f"shares of {', '.join(names)}, by digest"
    noised = noised_cohort_check(transcript, agreement=agreement)
    return f"shares of {', '.join(sorted(noised.noise))}, each once; not that they are random"


def _release(transcript: CampaignTranscript, agreement: CampaignAgreement) -> str:
    whole = transcript.expired is None
    release = campaign_release_check(transcript, agreement=agreement, proofs=whole)
    given = sum(len(metric.statistics) for metric in release.metrics)
    if not whole:
        shares = f"{len(transcript.shares)} signed shares combine to the sums"
        return f"{shares}, {given} statistics recomputed"
    return f"product, {len(transcript.shares)} share proofs and {given} statistics recomputed"


def _logged(transcript: CampaignTranscript, named: frozenset[str]) -> str:
    rows: dict[str, tuple[Signed[Message], ...]] = {
        "submission": transcript.submissions,  # type: ignore[dict-item]
        "charge": transcript.receipts,  # type: ignore[dict-item]
        "noise": transcript.noise,  # type: ignore[dict-item]
        "share": transcript.shares,  # type: ignore[dict-item]
    }
    left: dict[str, str] = {}
    if transcript.expired is not None:
        left |= {
            f"submission of {e.organization}": e.envelope for e in transcript.expired.submissions
        }
        left |= {f"noise of {e.organization}": e.envelope for e in transcript.expired.noise}
    return named_in_log(rows, transcript.release, named, more=left)


def _retention(transcript: CampaignTranscript, expiries: Expiries) -> str:
    """Submissions are not left out at will: the log says that they were deleted."""
    if (transcript.spec.campaign_id, transcript.context.run) not in expiries:
        raise InvalidInput("submissions are missing, and no event says that they expired")
    return "an event says that the submissions expired"


def _gone(transcript: CampaignTranscript) -> str:
    assert transcript.expired is not None
    return (
        f"expired by retention: {len(transcript.expired.submissions)} submissions, "
        f"{len(transcript.expired.noise)} noise shares and their proofs, and the proofs of shares, "
        "which need them; digests are left"
    )


def _statements(record: CampaignRecord, spec: CampaignSpec, label: str) -> Iterator[Check]:
    """Signatures of verdicts and refusals; a verdict that disagrees fails."""
    groups: dict[str, tuple[Signed[Message], ...]] = {
        "verdicts": record.verdicts,  # type: ignore[dict-item]
        "refusals": record.refusals,  # type: ignore[dict-item]
    }
    for kind, rows in groups.items():
        if rows:
            yield checked(
                f"{label} {kind}", partial(signatures, rows, partial(_party, spec, record))
            )
    against = [v.body for v in record.verdicts if not v.body.agrees]
    if against:
        yield Check(
            f"{label} verdicts agree",
            "failed",
            "; ".join(f"{body.organization}: {body.detail}" for body in against),
        )


def _party(spec: CampaignSpec, record: CampaignRecord, name: str) -> Participant | None:
    """A participant, or a trustee of the key, who need not take part."""
    trustee = record.key_epoch.trustee(name)
    if trustee is not None:
        return Participant(organization=name, public_key=trustee.public_key)
    return spec.participant(name)
