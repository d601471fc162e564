"""Large content in storage: masked vectors, parts of their sums, server states of large models.

Its key is kept on a row. Who may read it is decided on the row, before it is opened.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from typing import Any

from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages

from apps.training.models import ModelState

PIECE = 1 << 18
INLINE_BYTES = 1 << 20
"""A server state up to this size lies on its row: a database is slow with more."""


def blob_storage() -> Storage:
    """settings.STORAGES["blobs"]."""
    return storages["blobs"]


def file_pieces(file: Any, start: int = 0) -> Iterator[bytes]:
    """An open file's bytes from ``start`` on; closes it."""
    with file:
        file.seek(start)
        while piece := file.read(PIECE):
            yield piece


def state_put(*, job_id: Any, step: int, digest: str, content: bytes | mmap.mmap) -> ModelState:
    """A row, not yet saved, for a server state whose bytes are safe once it is saved.

    Call it before the transaction that saves the row: a large state is on the disk by then, under
    a name that its digest fixes, so that doing it twice does no harm.
    """
    row = ModelState(job_id=job_id, step=step, digest=digest)
    if len(content) <= INLINE_BYTES:
        row.content = bytes(content)
    else:
        # Of a mapped file storage needs what a file has: read, seek and size.
        mapped = isinstance(content, mmap.mmap)
        file: Any = File(content) if mapped else ContentFile(content)  # type: ignore[arg-type]
        row.key = blob_storage().save(f"{job_id}/states/{digest}", file)
    return row


def state_bytes(state: ModelState) -> bytes:
    """A server state's bytes (safetensors)."""
    if not state.key:
        return bytes(state.content or b"")
    with blob_storage().open(state.key) as file:
        content: bytes = file.read()
        return content


def state_open(state: ModelState) -> tuple[Any, int]:
    """A server state as an open file, and its bytes."""
    if not state.key:
        content = state_bytes(state)
        return io.BytesIO(content), len(content)
    file = blob_storage().open(state.key)
    return file, file.size
