"""Taking masked vectors: in parts that can be resumed, checked whole before anything is stored.

A site may leave one file of the spec's size an attempt here, finished or not: no more than its
contributions need.
"""

from __future__ import annotations

from pathlib import Path

from django.db import transaction
from django.utils import timezone

from apps.attempts.models import Attempt
from apps.attempts.services.agreements import attempt_lock
from apps.attempts.services.events import attempt_event
from apps.common.actor import COORDINATOR, Actor
from apps.common.blobs import StagedFile
from apps.common.coordinator import as_coordinator
from apps.provenance.tags import Tag
from apps.training.models import MaskedVector
from apps.training.services.incoming import Part, digest_check, incoming_locked, part_append
from apps.training.storage import blob_storage
from federated.errors import InvalidInput
from federated.protocol.arrival import AlreadySent, Closed
from federated.protocol.masked import masked_bytes


def vector_receive(
    *, attempt: Attempt, organization: str, digest: str, part: Part, actor: Actor
) -> tuple[int, bool]:
    """Take a part of an organization's masked vector for an open attempt.

    Returns how many bytes are here, and whether this call completed and stored the vector; the
    same again is fine in any state. Raises InvalidInput for another length or other bytes than the
    digest's, AlreadySent for a second vector of the attempt, Closed after it closed, PartMissing
    for a part that leaves a gap, Unavailable while another request brings the same vector.
    """
    with as_coordinator():
        if _stored_before(attempt, organization, digest):
            return part.total, False
        _require_open(attempt)
        expected = masked_bytes(attempt.terms)
    if not expected:
        raise InvalidInput("This job packs its vectors into ciphertexts: it takes none beside.")
    if part.total != expected:
        raise InvalidInput(f"masked vector has {part.total} bytes: {expected} are allowed")
    with incoming_locked(f"{attempt.pk}.{organization}", digest) as (path, file):
        here = part_append(file, part)
        if here < expected:
            return here, False
        digest_check(path, digest, "masked vector")
        return expected, _store(attempt, organization, digest, path, actor)


def vector_delete(*, vector: MaskedVector, reason: str, actor: Actor = COORDINATOR) -> bool:
    """Delete a vector's bytes for good; its digest stays. False where they were gone before.

    The row is marked before the file goes: whoever dies in between leaves a file that the next
    call removes, never a row that promises bytes.
    """
    with as_coordinator():
        with transaction.atomic():
            won = MaskedVector.objects.filter(pk=vector.pk, deleted_at=None).update(
                deleted_at=timezone.now()
            )
            if won:
                attempt_event(
                    Tag.VECTOR_DELETED,
                    vector.attempt,
                    actor=actor,
                    digests={"vector": vector.digest},
                    data={"organization": vector.organization, "reason": reason},
                )
        blob_storage().delete(vector.key)
        return bool(won)


def vector_key(attempt: Attempt, organization: str, digest: str) -> str:
    """The name of a vector in storage; kept on its row."""
    return f"{attempt.agreement_id}/{attempt.number}-{attempt.attempt}/{organization}.{digest}"


def _stored_before(attempt: Attempt, organization: str, digest: str) -> bool:
    before = MaskedVector.objects.filter(attempt=attempt, organization=organization).first()
    if before is None:
        return False
    if before.digest != digest:
        raise AlreadySent(
            f"Another masked vector of {organization} was stored for {attempt}: "
            f"{before.digest[:16]}, this is {digest[:16]}."
        )
    return True


def _require_open(attempt: Attempt) -> None:
    if attempt.state != Attempt.State.COLLECTING:
        raise Closed(f"{str(attempt).capitalize()} is {attempt.state}: it takes no more vectors.")


def _store(attempt: Attempt, organization: str, digest: str, path: Path, actor: Actor) -> bool:
    """Move the file into storage and keep its row, unless the attempt has closed meanwhile."""
    key, size = vector_key(attempt, organization, digest), path.stat().st_size
    with StagedFile(path) as staged:
        blob_storage().save(key, staged)
    path.unlink(missing_ok=True)
    try:
        with as_coordinator(), transaction.atomic():
            row = attempt_lock(attempt, attempt.agreement)
            if _stored_before(row, organization, digest):
                return False
            _require_open(row)
            MaskedVector.objects.create(
                attempt=row, organization=organization, digest=digest, size=size, key=key
            )
            attempt_event(
                Tag.VECTOR_STORED,
                row,
                actor=actor,
                digests={"vector": digest},
                data={"organization": organization, "bytes": size},
            )
    except (AlreadySent, Closed):
        blob_storage().delete(key)
        raise
    return True
