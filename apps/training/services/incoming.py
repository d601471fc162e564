"""Files that come in parts and can be resumed, until they are whole and a service takes them.

They lie in a folder of their own under names ``OWNER.DIGEST``: an owner is what may leave so many
files there and no more.
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

from apps.training.errors import PartMissing
from apps.training.storage import PIECE
from federated.errors import InvalidInput, Unavailable

ABANDONED_SECONDS = 86_400.0


@dataclass(frozen=True)
class Part:
    """Bytes ``start`` to ``end`` (exclusive) of ``total``, which ``read`` gives in pieces.

    Equal ends ask how much is here and bring nothing.
    """

    start: int
    end: int
    total: int
    read: Callable[[int], bytes]


@contextmanager
def incoming_locked(owner: str, digest: str, *, others: int = 0) -> Iterator[tuple[Path, BinaryIO]]:
    """An owner's unfinished file of that digest, locked.

    Of the owner's other files, ``others`` may stay: the oldest make way. Raises Unavailable while
    another request holds the file.
    """
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{owner}.{digest}"
    rest = sorted((_age(each), each) for each in folder.glob(f"{owner}.*") if each != path)
    for _, other in rest[others:]:
        other.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held the lock may have moved the file away: then it is whole and taken.
            same = os.path.samestat(path.stat(), os.fstat(file.fileno()))
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            raise Unavailable("Another request brings the same bytes; try again soon.")
        yield path, file


def part_append(file: BinaryIO, part: Part) -> int:
    """Add a part; how many bytes are here then. Raises PartMissing, InvalidInput."""
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


def digest_check(path: Path, digest: str, what: str) -> None:
    """Raises InvalidInput for a whole file of another digest than its address; it is gone then."""
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != digest:
        path.unlink()
        raise InvalidInput(f"{what} has digest {actual[:16]}, its address says {digest[:16]}")


def incoming_sweep(*, older_than: float = ABANDONED_SECONDS) -> int:
    """Remove files that nobody has touched for so many seconds; how many."""
    folder, removed = _folder(), 0
    for path in folder.iterdir() if folder.is_dir() else ():
        if time.time() - path.stat().st_mtime > older_than:
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def incoming_path(owner: str, digest: str) -> Path:
    return _folder() / f"{owner}.{digest}"


def _folder() -> Path:
    return Path(settings.FSC_CONFIG.blob_dir) / "incoming"


def _age(path: Path) -> float:
    """Seconds since the last touch, for sorting; of a file that is gone by now, none."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
