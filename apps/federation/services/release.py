"""Summing a cohort's ciphertexts, and releasing what its trustees decrypted."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.attempts.steps import lease_take, release_fail, release_store
from apps.common.coordinator import as_coordinator
from apps.federation.models import Job, ModelState, Round
from apps.federation.queue import enqueue
from apps.federation.selectors.transcripts import transcript_of
from apps.federation.services.attempts import ROUNDS
from apps.federation.services.lifecycle import job_continue, job_lock
from apps.federation.services.sums import (
    round_total,
    sum_begin,
    sum_ready,
    vectors_sum,
)
from apps.federation.storage import state_bytes, state_put
from apps.provenance.tags import Tag
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
        found = Round.objects.select_related("job").get(pk=round_id)
        if found.product is not None:
            return [int.from_bytes(decode_bytes(item), "big") for item in found.product]
        product = product_of(transcript_of(found), agreement=found.job.agreement)
        kept = [
            encode_bytes(item.to_bytes((item.bit_length() + 7) // 8, "big")) for item in product
        ]
        Round.objects.filter(pk=found.pk).update(product=kept)
        return product


def round_sum_vectors(round_id: Any) -> None:
    """Sum parts of the cohort's masked vectors; the last one done releases, if it can.

    Where storage lost a vector, or a piece of one, the attempt cannot be released: it ends.
    """
    with as_coordinator():
        found = Round.objects.select_related("job").get(pk=round_id)
        try:
            vectors_sum(round_id)
        except InvalidInput as error:
            release_fail(ROUNDS, found, error)
        else:
            if found.open and sum_ready(found):
                enqueue("federation.round_close", round_id)


def round_release(round_id: Any) -> bool:
    """decrypting -> released: combine the shares, step the server, open what follows.

    The result is a function of the transcript, so that doing it twice does no harm; the lease
    only keeps two workers from doing it at once. True if this call released.
    """
    with as_coordinator():
        found = Round.objects.select_related("job").get(pk=round_id)
        if not sum_ready(found):
            sum_begin(found, workers=1)
            return False
        if not lease_take(ROUNDS, found):
            return False
        if found.shares.count() < found.job.agreement.threshold:
            return False
        try:
            release, after, record = _compute(found)
        except DomainError as error:
            release_fail(ROUNDS, found, error)
            return False
        return _store(found, release, after, record)


def _compute(found: Round) -> tuple[Release, ServerState, ReproducibilityRecord]:
    before = ModelState.objects.get(job=found.job, digest=found.context["model"])
    spec, transcript = found.job.wire, transcript_of(found)
    release, after = release_make(
        transcript,
        agreement=found.job.agreement,
        state=ServerState.from_bytes(state_bytes(before)),
        total=round_total(found),
    )
    record = reproducibility_make(
        transcript.model_copy(update={"release": release}), spec=spec, software=software_here()
    )
    return release, after, record


def _store(
    found: Round, release: Release, after: ServerState, record: ReproducibilityRecord
) -> bool:
    digest = release.state
    state = None
    if digest != found.context["model"]:  # counts of a joint evaluation leave the model as it is
        state = state_put(
            job_id=found.job_id, step=found.number, digest=digest, content=after.to_bytes()
        )
    with transaction.atomic():
        job = job_lock(found.job_id)
        if job.state != Job.State.RUNNING:
            return False
        found.job = job
        if not release_store(ROUNDS, found, release=release.dump(), reproducibility=record.dump()):
            return False
        if state is not None:
            state.save(force_insert=True)
        Job.objects.filter(pk=job.pk).update(model_digest=digest)
        job.refresh_from_db()
        ROUNDS.event(
            Tag.ROUND_RELEASED,
            found,
            digests={
                "release": release.digest(),
                "model": digest,
                "reproducibility": record.digest(),
            },
        )
        job_continue(job)
        return True
