"""Reads bundles and log pages from the portal's tables."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q
from django_tenants.utils import schema_context

from apps.attempts.models import Attempt, Participant
from apps.attempts.played import all_played
from apps.attempts.selectors.agreements import agreements_of
from apps.attempts.selectors.transcripts import signed_messages, transcript_of
from apps.benchmarks.models import Campaign
from apps.common.coordinator import as_coordinator
from apps.organizations.selectors import certificates_of
from apps.provenance.models import Event, Witness
from apps.provenance.selectors import (
    LoggedEvent,
    anchors_since,
    bundle_anchors,
    bundle_log,
)
from apps.provenance.services import checkpoint_make, log_sequence
from apps.training.models import Job
from apps.training.selectors.evaluations import evaluations_of
from apps.training.storage import state_bytes
from federated.errors import NotFound
from federated.protocol.identity import key_id
from federated.provenance.bundle import Bundle, BundleLog
from federated.provenance.checkpoint import split_note
from federated.provenance.cosignature import CosignerKey
from federated.wire.base import Signed, encode_bytes
from federated.wire.campaign import CampaignRecord, CampaignSpec
from federated.wire.job import Decline, JobSpec
from federated.wire.key import KeyEpoch
from federated.wire.record import JobRecord, state_beside
from federated.wire.reproducibility import ReproducibilityRecord


def job_record(job: Job) -> JobRecord:
    """Enough of a job to recompute every release; works as the coordinator."""
    initial = state_bytes(job.states.get(step=0))
    closed = _closed(job)
    declined = job.participants.filter(state=Participant.State.DECLINED, answer__isnull=False)
    return JobRecord(
        key_epoch=job.terms.epoch,
        initial_state=None if state_beside(len(initial)) else encode_bytes(initial),
        attempts=tuple(transcript_of(attempt) for attempt in closed),
        reproducibility=tuple(
            ReproducibilityRecord.parse(attempt.reproducibility)
            for attempt in closed
            if attempt.reproducibility is not None
        ),
        verdicts=signed_messages(job, "verdict"),
        refusals=signed_messages(job, "refusal"),
        declines=tuple(
            Signed[Decline].parse(part.answer) for part in declined if part.answer is not None
        ),
    )


def campaign_records(campaign: Campaign) -> list[CampaignRecord]:
    """A record for each spec that the campaign has had runs by; works as the coordinator."""
    by_spec: dict[str, list[Attempt]] = {}
    for run in _closed(campaign):
        by_spec.setdefault(run.wire.digest(), []).append(run)
    return [
        CampaignRecord(
            key_epoch=runs[0].terms.epoch,
            runs=tuple(transcript_of(run) for run in runs),
            verdicts=signed_messages(campaign, "verdict", runs),
            refusals=signed_messages(campaign, "refusal", runs),
        )
        for runs in by_spec.values()
    ]


def _closed(agreement: Job | Campaign) -> list[Attempt]:
    closed = list(agreement.attempts.filter(cohort__isnull=False).order_by("number", "attempt"))
    for attempt in closed:
        attempt.agreement = agreement
    return closed


def campaign_bundle_assemble(*, campaign: Campaign, organization: str) -> Bundle:
    """Assembles a campaign's bundle, to verify its runs offline. Raises NotFound without one."""
    with as_coordinator():
        records = campaign_records(campaign)
    if not records:
        raise NotFound("No run of this campaign has closed yet: there is nothing to verify.")
    record_of = Q(subject_kind="campaign", subject_id=str(campaign.pk))
    keys = [record.key_epoch.digest() for record in records]
    return _assemble(
        record_of | Q(subject_kind="key_epoch", subject_id__in=keys),
        organization=organization,
        sections={
            "campaigns": [record.dump() for record in records],
            "certificates": _certificates(
                campaign, [(r.runs[0].spec, r.key_epoch) for r in records]
            ),
        },
    )


def bundle_assemble(*, job: Job, organization: str) -> Bundle:
    """Assembles a job's bundle, to verify it offline (docs/audit/bundle.md).

    With it come the evaluations of its model that released and that the organization took part in.
    """
    released = Attempt.objects.filter(state=Attempt.State.RELEASED).values("agreement_id")
    evaluations = evaluations_of(job, organization=organization).filter(pk__in=released)
    jobs = [job, *evaluations]
    with as_coordinator():
        records = [job_record(one) for one in jobs]
    pinning = [(one.wire, record.key_epoch) for one, record in zip(jobs, records, strict=True)]
    record_of = Q(subject_kind="job", subject_id__in=[str(one.pk) for one in jobs])
    keys = [spec.key_epoch for spec, _ in pinning]
    return _assemble(
        record_of | Q(subject_kind="key_epoch", subject_id__in=keys),
        organization=organization,
        sections={
            "jobs": [record.dump() for record in records],
            "certificates": _certificates(job, pinning),
        },
    )


def _certificates(
    subject: Job | Campaign, pinning: Iterable[tuple[JobSpec | CampaignSpec, KeyEpoch]]
) -> list[str]:
    """The certificates of all pinned keys that were valid then or later (DER, base64url)."""
    keys = set()
    for spec, epoch in pinning:
        keys |= {key_id(each.public_key) for each in spec.participants}
        keys |= {key_id(each.public_key) for each in epoch.trustees}
    with as_coordinator():
        found = certificates_of(keys=keys, since=subject.created_at)
        return [encode_bytes(ssl.PEM_cert_to_DER_cert(row.pem)) for row in found]


def _assemble(wanted: Q, *, organization: str, sections: dict[str, Any]) -> Bundle:
    """Of the consortium's log the wanted events, of the organization's own those of its ledger.

    The sequencer runs first, so that the newest events have their place.
    """
    ledger = Q(subject_kind="ledger")
    with as_coordinator():
        chosen = _sequenced(wanted)
    with schema_context(f"t_{organization}"):
        own = _sequenced(ledger) if Event.objects.filter(ledger).exists() else {}
    anchors = anchors_since(min([*chosen.values(), *own.values()]))
    with as_coordinator():
        logs = [bundle_log(event_ids=list(chosen), anchors=anchors)]
    if own:
        with schema_context(f"t_{organization}"):
            logs.append(bundle_log(event_ids=list(own), anchors=anchors))
    return Bundle(
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        logs=logs,
        anchors=bundle_anchors(anchors, [log.origin for log in logs]),
        sections=sections | {"witnesses": _witness_keys(logs)},
    )


def _witness_keys(logs: list[BundleLog]) -> list[dict[str, Any]]:
    """The signed keys of all who cosigned one of the logs' checkpoints."""
    signers = {
        (line.name, line.key_id)
        for log in logs
        for note in log.checkpoints
        for line in split_note(note)[1]
    }
    with as_coordinator():
        known = Witness.objects.order_by("organization", "created_at")
        keys = [(CosignerKey.parse(row.key), row.message) for row in known]
    return [message for key, message in keys if (key.name, key.key_id) in signers]


def _sequenced(chosen: Q) -> dict[Any, datetime]:
    """The times of the chosen events by id, once a checkpoint of this schema's log covers them."""
    found = dict(Event.objects.filter(chosen).values_list("pk", "created_at"))
    log_settle()
    return found


def log_settle() -> None:
    """Let a checkpoint of this schema's log cover what is in it."""
    while log_sequence(everything=False):
        pass
    checkpoint_make()


def events_visible(*, organization: str | None, log: str) -> Q:
    """Which events of a log an organization may see: all of its own, of the consortium's those of
    its agreements. No organization is an operator, who sees all of the consortium's."""
    if log == "own" or organization is None:
        return Q()
    mine = [str(pk) for pk in agreements_of(organization).values_list("pk", flat=True)]
    subjects = {played.subject for played in all_played()}
    return Q(subject_kind__in=subjects, subject_id__in=mine)


@contextmanager
def log_events_entered(*, organization: str | None, log: str) -> Iterator[None]:
    """Work in the schema of the organization's own log, or of the consortium's."""
    own = log == "own" and organization is not None
    with schema_context(f"t_{organization}") if own else as_coordinator():
        yield


def logged_describe(logged: LoggedEvent) -> dict[str, Any]:
    """An event for the API, with how far its proof has come."""
    anchor = logged.anchor or logged.pending
    return {
        "event": logged.body.model_dump(mode="json"),
        "index": logged.log_index,
        "checkpoint": logged.checkpoint_size,
        "final": logged.final,
        "anchor": None
        if anchor is None
        else {
            "state": anchor.state,
            "size": anchor.size,
            "tx_hash": anchor.tx_hash,
            "block": anchor.block_number,
            "confirmations": anchor.confirmations,
        },
    }
