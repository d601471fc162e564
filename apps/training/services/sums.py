"""The sum of a cohort's masked vectors: at once where it is small, in parts by workers where not.

A part is a range of coefficients, added up over all members by one worker, so that no process
holds more than a part however many sites there are. Workers claim parts by a conditional UPDATE
with a lease: what a killed one left is claimed again, and adding the same range twice gives the
same bytes. Digests were checked when the vectors arrived.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import numpy as np
from django.core.files.base import ContentFile
from django.db.models import F, Q
from django.utils import timezone
from numpy.typing import NDArray

from apps.attempts.models import Attempt
from apps.attempts.queue import enqueue
from apps.attempts.selectors.transcripts import attempt_product, transcript_of
from apps.attempts.services.steps import attempt_get, release_fail
from apps.common.coordinator import as_coordinator
from apps.training.models import MaskedVector, SumPart
from apps.training.selectors.vectors import vector_open, vectors_of
from apps.training.storage import blob_storage, file_pieces
from federated.aggregation.base import Total
from federated.aggregation.masked import MaskedTotal
from federated.crypto.masking import WORD_BYTES
from federated.errors import InvalidInput
from federated.protocol.masked import masked_bytes, total_of
from federated.wire.base import encode_bytes

AT_ONCE_BYTES = 1 << 26
"""Up to so many bytes in all members' vectors a release sums them itself."""
PART_WORDS = 1 << 18
WORKERS_MOST = 8
LEASE_SECONDS = 60


def round_sum(attempt_id: Any) -> list[int]:
    """The product of the cohort's ciphertexts, computed once and kept on the attempt."""
    with as_coordinator():
        attempt = attempt_get(attempt_id)
        product = attempt_product(attempt)
        if attempt.product is None:
            kept = [
                encode_bytes(item.to_bytes((item.bit_length() + 7) // 8, "big")) for item in product
            ]
            Attempt.objects.filter(pk=attempt.pk).update(product=kept)
        return product


def vectors_sum_step(attempt_id: Any) -> None:
    """Sum parts of the cohort's masked vectors; the last one done releases, if it can.

    Where storage lost a vector, or a piece of one, the attempt cannot be released: it ends.
    """
    with as_coordinator():
        attempt = attempt_get(attempt_id)
        try:
            vectors_sum(attempt_id)
        except InvalidInput as error:
            release_fail(attempt, error)
        else:
            if attempt.open and sum_ready(attempt):
                enqueue("attempts.advance", attempt_id)


def round_total(attempt: Attempt) -> Total | None:
    """The cohort's sum; None for a packed job. Raises InvalidInput where a vector is not whole.

    Call it once sum_ready(attempt).
    """
    size = _vector_bytes(attempt)
    if not size:
        return None
    if _in_parts(attempt, size):
        return MaskedTotal.of(size // WORD_BYTES, _parts_read(attempt), len(attempt.members))
    stored = {row.digest: row for row in vectors_of(attempt)}

    def source(digest: str) -> Iterator[bytes]:
        if digest not in stored:
            raise InvalidInput(f"masked vector {digest[:16]} is not in the storage")
        return file_pieces(vector_open(stored[digest]))

    return total_of(transcript_of(attempt), agreement=attempt.terms, source=source)


def sum_begin(attempt: Attempt, *, workers: int = WORKERS_MOST) -> None:
    """Enqueue what sums a closed attempt's vectors, where a release cannot do it by itself."""
    size = _vector_bytes(attempt)
    if size and _in_parts(attempt, size):
        for _ in range(min(-(-size // (PART_WORDS * WORD_BYTES)), workers)):
            enqueue("training.vectors_sum", attempt.pk)


def sum_ready(attempt: Attempt) -> bool:
    """Whether nothing of the sum is left to do."""
    size = _vector_bytes(attempt)
    if not size or not _in_parts(attempt, size):
        return True
    parts = SumPart.objects.filter(attempt=attempt)
    return parts.exists() and not parts.filter(key="").exists()


def vectors_sum(attempt_id: Any) -> int:
    """Claim and sum parts until none is left; how many this call did.

    Raises InvalidInput where a vector is not in the storage, or not whole.
    """
    with as_coordinator():
        attempt = attempt_get(attempt_id)
        if attempt.state not in (Attempt.State.CHARGING, Attempt.State.DECRYPTING):
            return 0
        _parts_make(attempt)
        vectors = list(vectors_of(attempt).filter(organization__in=attempt.members))
        if len(vectors) != len(attempt.members):
            raise InvalidInput(
                f"{attempt}: {len(vectors)} of {len(attempt.members)} vectors are here"
            )
        done = 0
        while (part := _part_claim(attempt)) is not None:
            words = range_sum(vectors, part.start, part.words)
            key = f"{attempt.agreement_id}/{attempt.number}-{attempt.attempt}/sum/{part.start}"
            blob_storage().save(key, ContentFile(words.astype("<u8", copy=False).tobytes()))
            SumPart.objects.filter(pk=part.pk, key="").update(key=key)
            done += 1
        return done


def range_sum(vectors: list[MaskedVector], start: int, words: int) -> NDArray[np.uint64]:
    """Coefficients ``start`` to ``start + words`` of the vectors' sum modulo 2^64.

    Holds one range of one vector beside the sum. Raises InvalidInput for a vector that is short.
    """
    total = np.zeros(words, dtype=np.uint64)
    buffer = np.empty(words, dtype="<u8")
    view = memoryview(buffer.data).cast("B")
    for vector in vectors:
        with vector_open(vector) as file:
            file.seek(start * WORD_BYTES)
            if file.readinto(view) != len(view):
                raise InvalidInput(f"the stored {vector} is shorter than its row says")
        total += buffer
    return total


def sum_parts_sweep() -> int:
    """Remove the parts of attempts that have ended: nobody reads them again. How many."""
    with as_coordinator():
        ended = SumPart.objects.exclude(attempt__state__in=Attempt.OPEN)
        for part in ended.exclude(key=""):
            blob_storage().delete(part.key)
        return ended.delete()[0]


def _vector_bytes(attempt: Attempt) -> int:
    return masked_bytes(attempt.terms)


def _in_parts(attempt: Attempt, size: int) -> bool:
    return size * len(attempt.members) > AT_ONCE_BYTES


def _parts_make(attempt: Attempt) -> None:
    words = _vector_bytes(attempt) // WORD_BYTES
    SumPart.objects.bulk_create(
        [
            SumPart(attempt=attempt, start=start, words=min(PART_WORDS, words - start))
            for start in range(0, words, PART_WORDS)
        ],
        ignore_conflicts=True,
    )


def _part_claim(attempt: Attempt) -> SumPart | None:
    """A part that nobody works at, leased to this worker."""
    moment = timezone.now()
    free = Q(leased_until=None) | Q(leased_until__lt=moment)
    waiting = SumPart.objects.filter(free, attempt=attempt, key="")
    for part in waiting.order_by(F("leased_until").asc(nulls_first=True), "start"):
        if waiting.filter(pk=part.pk).update(
            leased_until=moment + timedelta(seconds=LEASE_SECONDS)
        ):
            return part
    return None


def _parts_read(attempt: Attempt) -> Iterator[bytes]:
    for part in SumPart.objects.filter(attempt=attempt).order_by("start"):
        with blob_storage().open(part.key) as file:
            yield file.read()
