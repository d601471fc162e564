"""Taking masked vectors: in parts that can be resumed, checked whole before anything is stored.

A site may leave one file of the spec's size an attempt here, finished or not: no more than its
contributions need.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.common.actor import Actor
from apps.common.blobs import StagedFile
from apps.common.coordinator import as_coordinator
from apps.federation.errors import AlreadySent, Closed, PartMissing
from apps.federation.models import MaskedVector, Round
from apps.federation.selectors.transcripts import epoch_of
from apps.federation.services.rounds import round_event
from apps.federation.storage import PIECE, blob_storage
from apps.provenance.tags import Tag
from federated.errors import InvalidInput, Unavailable
from federated.protocol.masked import masked_bytes

ABANDONED_SECONDS = 86_400.0
COORDINATOR = Actor.system("coordinator")


@dataclass(frozen=True)
class Part:
    """Bytes ``start`` to ``end`` (exclusive) of ``total``, which ``read`` gives in pieces.

    Equal ends ask how much is here and bring nothing.
    """

    start: int
    end: int
    total: int
    read: Callable[[int], bytes]


def vector_receive(
    *, found: Round, organization: str, digest: str, part: Part, actor: Actor
) -> tuple[int, bool]:
    """Take a part of an organization's masked vector for an open attempt.

    Returns how many bytes are here, and whether this call completed and stored the vector; the
    same again is fine in any state. Raises InvalidInput for another length or other bytes than the
    digest's, AlreadySent for a second vector of the attempt, Closed after it closed, PartMissing
    for a part that leaves a gap, Unavailable while another request brings the same vector.
    """
    with as_coordinator():
        if _stored_before(found, organization, digest):
            return part.total, False
        _require_open(found)
        expected = masked_bytes(found.job.wire, epoch_of(found.job))
    if not expected:
        raise InvalidInput("This job packs its vectors into ciphertexts: it takes none beside.")
    if part.total != expected:
        raise InvalidInput(f"masked vector has {part.total} bytes: {expected} are allowed")
    with _incoming(found, organization, digest) as (path, file):
        here = _append(file, part)
        if here < expected:
            return here, False
        _check_digest(path, digest)
        return expected, _store(found, organization, digest, path, actor)


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
                round_event(
                    Tag.VECTOR_DELETED,
                    vector.round,
                    actor=actor,
                    digests={"vector": vector.digest},
                    data={"organization": vector.organization, "reason": reason},
                )
        blob_storage().delete(vector.key)
        return bool(won)


def incoming_sweep(*, older_than: float = ABANDONED_SECONDS) -> int:
    """Remove unfinished uploads that nobody has touched for so many seconds; how many."""
    folder, removed = _incoming_folder(), 0
    for path in folder.iterdir() if folder.is_dir() else ():
        if time.time() - path.stat().st_mtime > older_than:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def vector_key(found: Round, organization: str, digest: str) -> str:
    """The name of a vector in storage; kept on its row."""
    return f"{found.job_id}/{found.number}-{found.attempt}/{organization}.{digest}"


def _stored_before(found: Round, organization: str, digest: str) -> bool:
    before = MaskedVector.objects.filter(round=found, organization=organization).first()
    if before is None:
        return False
    if before.digest != digest:
        raise AlreadySent(
            f"Another masked vector of {organization} was stored for {found}: "
            f"{before.digest[:16]}, this is {digest[:16]}."
        )
    return True


def _require_open(found: Round) -> None:
    if found.state != Round.State.COLLECTING:
        raise Closed(f"{str(found).capitalize()} is {found.state}: it takes no more vectors.")


def _incoming_folder() -> Path:
    return Path(settings.FSC_CONFIG.blob_dir) / "incoming"


@contextmanager
def _incoming(found: Round, organization: str, digest: str) -> Iterator[tuple[Path, BinaryIO]]:
    """The unfinished upload, locked; one of another digest makes way for it."""
    folder, owner = _incoming_folder(), f"{found.pk}.{organization}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{owner}.{digest}"
    for other in folder.glob(f"{owner}.*"):
        if other != path:
            other.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held the lock may have moved the file away: then it is a stored vector.
            same = os.path.samestat(path.stat(), os.fstat(file.fileno()))
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            raise Unavailable("Another request brings this vector; try again soon.")
        yield path, file


def _append(file: BinaryIO, part: Part) -> int:
    here = os.fstat(file.fileno()).st_size
    if part.start == part.end:
        return here
    if part.start > here:
        raise PartMissing(f"{here} bytes are here; the part starts at {part.start}.", received=here)
    file.seek(part.start)
    file.truncate()
    left = part.end - part.start
    while left and (piece := part.read(min(left, PIECE))):
        file.write(piece)
        left -= len(piece)
    file.flush()
    if left:
        raise InvalidInput(f"the part broke off: its last {left} bytes did not come")
    return part.end


def _check_digest(path: Path, digest: str) -> None:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != digest:
        path.unlink()
        raise InvalidInput(
            f"masked vector has digest {actual[:16]}, its address says {digest[:16]}"
        )


def _store(found: Round, organization: str, digest: str, path: Path, actor: Actor) -> bool:
    """Move the file into storage and keep its row, unless the attempt has closed meanwhile."""
    key, size = vector_key(found, organization, digest), path.stat().st_size
    with StagedFile(path) as staged:
        blob_storage().save(key, staged)
    path.unlink(missing_ok=True)
    try:
        with as_coordinator(), transaction.atomic():
            row = Round.objects.select_for_update().get(pk=found.pk)
            row.job = found.job
            if _stored_before(row, organization, digest):
                return False
            _require_open(row)
            MaskedVector.objects.create(
                round=row, organization=organization, digest=digest, size=size, key=key
            )
            round_event(
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
