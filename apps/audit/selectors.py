"""Bundles and log pages, from everything the portal keeps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db.models import Q
from django_tenants.utils import schema_context

from apps.common.coordinator import as_coordinator
from apps.common.pagination import Page, keyset_page
from apps.federation.models import Job, JobParticipant, Refusal, Round, Verdict
from apps.federation.selectors.jobs import jobs_of
from apps.federation.selectors.transcripts import epoch_of, transcript_of
from apps.provenance.models import Event
from apps.provenance.selectors import (
    LoggedEvent,
    anchors_since,
    bundle_anchors,
    bundle_log,
    events_logged,
)
from apps.provenance.services import checkpoint_make, log_sequence
from federated.provenance.bundle import Bundle
from federated.wire.base import Signed, encode_bytes
from federated.wire.job import Decline
from federated.wire.record import JobRecord


def job_record(job: Job) -> JobRecord:
    """Enough of a job to recompute every release; works as the coordinator."""
    initial = job.states.get(step=0)
    closed = Round.objects.filter(job=job, cohort__isnull=False).order_by("number", "attempt")
    declined = job.participants.filter(state=JobParticipant.State.DECLINED, answer__isnull=False)
    attempts = []
    for found in closed:
        found.job = job
        attempts.append(transcript_of(found))
    return JobRecord(
        key_epoch=epoch_of(job),
        initial_state=encode_bytes(bytes(initial.content)),
        attempts=tuple(attempts),
        verdicts=tuple(row.signed for row in Verdict.objects.filter(round__job=job)),
        refusals=tuple(row.signed for row in Refusal.objects.filter(round__job=job)),
        declines=tuple(Signed[Decline].parse(part.answer) for part in declined),
    )


def bundle_assemble(*, job: Job, organization: str) -> Bundle:
    """What an outsider needs to verify the job offline (docs/bundle.md).

    Of the consortium's log the events of this job and its key, of the organization's own those of
    its ledger. The sequencer runs first, so that the newest events have their place.
    """
    record_of = Q(subject_kind="job", subject_id=str(job.pk))
    key_of = Q(subject_kind="key_epoch", subject_id=job.wire.key_epoch)
    ledger = Q(subject_kind="ledger")
    with as_coordinator():
        record = job_record(job)
        chosen = _sequenced(record_of | key_of)
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
        sections={"jobs": [record.dump()]},
    )


def _sequenced(chosen: Q) -> dict[Any, datetime]:
    """The times of the chosen events by id, once a checkpoint of this schema's log covers them."""
    found = dict(Event.objects.filter(chosen).values_list("pk", "created_at"))
    while log_sequence():
        pass
    checkpoint_make()
    return found


def log_page(
    *, organization: str, log: str, after: str | None, limit: str | None
) -> tuple[Page[Event], list[LoggedEvent]]:
    """Events in the order they were recorded: of the organization's own log (``own``), or those of
    its jobs in the consortium's (``consortium``)."""
    if log == "own":
        with schema_context(f"t_{organization}"):
            return _page(Q(), after, limit)
    jobs = [str(pk) for pk in jobs_of(organization).values_list("pk", flat=True)]
    with as_coordinator():
        return _page(Q(subject_kind="job", subject_id__in=jobs), after, limit)


def _page(chosen: Q, after: str | None, limit: str | None) -> tuple[Page[Event], list[LoggedEvent]]:
    found = Event.objects.select_related("leaf").filter(chosen)
    page = keyset_page(found, cursor=after, limit=limit, descending=False)
    return page, events_logged(page.items)


def logged_describe(logged: LoggedEvent) -> dict[str, Any]:
    """An event for the API, with how far its proof has come."""
    anchor = logged.anchor
    return {
        "event": logged.body.model_dump(mode="json"),
        "index": logged.log_index,
        "checkpoint": logged.checkpoint_size,
        "anchor": None
        if anchor is None
        else {"size": anchor.size, "tx_hash": anchor.tx_hash, "block": anchor.block_number},
    }
