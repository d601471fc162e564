"""Files that survive a power cut: written aside, synced, renamed, and the folder synced."""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PRIVATE = 0o600
PIECE_BYTES = 1 << 18


def folder_make(path: Path) -> Path:
    """The folder, made private to its owner if it was absent."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def _beside(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """A file with that content in the same folder, on the disk; gone after the block.

    What the block makes of it is on the disk too.
    """
    folder_make(path.parent)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield aside
    finally:
        aside.unlink(missing_ok=True)
    folder_sync(path.parent)


def write_durably(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Replace a file's content, whole or not at all, and return once it is on the disk."""
    with _beside(path, content, mode) as aside:
        aside.replace(path)


def write_once(path: Path, content: bytes, *, mode: int = PRIVATE) -> bytes:
    """Store content under a name that is written once, and return what is stored there.

    Of two writers that race, both get the winner's bytes.
    """
    with _beside(path, content, mode) as aside, contextlib.suppress(FileExistsError):
        os.link(aside, path)
    return path.read_bytes()


@contextlib.contextmanager
def writing_aside(folder: Path, *, mode: int = PRIVATE) -> Iterator[tuple[Path, BinaryIO]]:
    """A nameless file in a folder, to be written piece by piece and then kept by keep_aside.

    It is gone after the block unless it was kept.
    """
    folder_make(folder)
    aside = folder / f".aside.{secrets.token_hex(6)}"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield aside, file
    finally:
        aside.unlink(missing_ok=True)


def keep_aside(aside: Path, file: BinaryIO, path: Path) -> None:
    """Give a written file its name, and return once both are on the disk."""
    file.flush()
    os.fsync(file.fileno())
    aside.replace(path)
    folder_sync(path.parent)


def read_optional(path: Path) -> bytes | None:
    """A file's content, or None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def read_mapped(path: Path) -> mmap.mmap | bytes | None:
    """A file's content, mapped and not copied, or None where there is no such file.

    For files that are replaced and never rewritten: one that is cut short ends the process.
    """
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return b""
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        return None


def read_pieces(path: Path, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """A file's bytes from ``start`` to ``end`` (the file's, by default), in pieces."""
    with path.open("rb") as file:
        file.seek(start)
        left = (os.fstat(file.fileno()).st_size if end is None else end) - start
        while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
            left -= len(piece)
            yield piece


def folder_sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
