"""Summing a cohort's ciphertexts, and releasing what its trustees decrypted."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.attempts.steps import lease_take, release_fail, release_store
from apps.common.coordinator import as_coordinator
from apps.provenance.tags import Tag
from apps.training.models import Job, ModelState, Round
from apps.training.queue import enqueue
from apps.training.selectors.transcripts import transcript_of
from apps.training.services.attempts import ROUNDS
from apps.training.services.lifecycle import job_continue, job_lock
from apps.training.services.sums import (
    round_total,
    sum_begin,
    sum_ready,
    vectors_sum,
)
from apps.training.storage import state_bytes, state_put
from federated.errors import DomainError, InvalidInput
from federated.protocol.release import release_make
from federated.protocol.reproducibility import reproducibility_make
from federated.protocol.share import product_of
from federated.provenance.software import software_here
from federated.training.server import ServerState
from federated.wire.base import decode_bytes, encode_bytes
from federated.wire.reproducibility import ReproducibilityRecord
from federated.wire.round import Release


def round_sum(round_id: Any) -> list[int]:
    """The product of the cohort's ciphertexts; computed once and kept on the attempt."""
    with as_coordinator():
        row = Round.objects.select_related("job").get(pk=round_id)
        if row.product is not None:
            return [int.from_bytes(decode_bytes(item), "big") for item in row.product]
        product = product_of(transcript_of(row), agreement=row.job.agreement)
        kept = [
            encode_bytes(item.to_bytes((item.bit_length() + 7) // 8, "big")) for item in product
        ]
        Round.objects.filter(pk=row.pk).update(product=kept)
        return product


def round_sum_vectors(round_id: Any) -> None:
    """Sum parts of the cohort's masked vectors; the last one done releases, if it can.

    Where storage lost a vector, or a piece of one, the attempt cannot be released: it ends.
    """
    with as_coordinator():
        row = Round.objects.select_related("job").get(pk=round_id)
        try:
            vectors_sum(round_id)
        except InvalidInput as error:
            release_fail(ROUNDS, row, error)
        else:
            if row.open and sum_ready(row):
                enqueue("training.round_close", round_id)


def round_release(round_id: Any) -> bool:
    """decrypting -> released: combine the shares, step the server, open what follows.

    The result is a function of the transcript, so that doing it twice does no harm; the lease
    only keeps two workers from doing it at once. True if this call released.
    """
    with as_coordinator():
        row = Round.objects.select_related("job").get(pk=round_id)
        if not sum_ready(row):
            sum_begin(row, workers=1)
            return False
        if not lease_take(ROUNDS, row):
            return False
        if row.shares.count() < row.job.agreement.threshold:
            return False
        try:
            release, after, record = _compute(row)
        except DomainError as error:
            release_fail(ROUNDS, row, error)
            return False
        return _store(row, release, after, record)


def _compute(row: Round) -> tuple[Release, ServerState, ReproducibilityRecord]:
    before = ModelState.objects.get(job=row.job, digest=row.context["model"])
    spec, transcript = row.job.wire, transcript_of(row)
    release, after = release_make(
        transcript,
        agreement=row.job.agreement,
        state=ServerState.from_bytes(state_bytes(before)),
        total=round_total(row),
    )
    record = reproducibility_make(
        transcript.model_copy(update={"release": release}), spec=spec, software=software_here()
    )
    return release, after, record


def _store(row: Round, release: Release, after: ServerState, record: ReproducibilityRecord) -> bool:
    digest = release.state
    state = None
    if digest != row.context["model"]:  # counts of a joint evaluation leave the model as it is
        state = state_put(
            job_id=row.job_id, step=row.number, digest=digest, content=after.to_bytes()
        )
    with transaction.atomic():
        job = job_lock(row.job_id)
        if job.state != Job.State.RUNNING:
            return False
        row.job = job
        if not release_store(ROUNDS, row, release=release.dump(), reproducibility=record.dump()):
            return False
        if state is not None:
            state.save(force_insert=True)
        Job.objects.filter(pk=job.pk).update(model_digest=digest)
        job.refresh_from_db()
        ROUNDS.event(
            Tag.ROUND_RELEASED,
            row,
            digests={
                "release": release.digest(),
                "model": digest,
                "reproducibility": record.digest(),
            },
        )
        job_continue(job)
        return True
