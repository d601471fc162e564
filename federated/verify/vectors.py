"""A folder beside a bundle: masked vectors that sums are recomputed from, large initial states."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from federated.errors import InvalidInput, NotFound
from federated.files import folder_make, keep_aside, read_pieces, writing_aside
from federated.wire.record import JobRecord
from federated.wire.round import Transcript

Fetch = Callable[[Transcript, str], Iterable[bytes]]
"""Streams the masked vector of that digest of that attempt. Raises NotFound where it is gone."""


class VectorFolder:
    """Files named ``<SHA-256>.vector`` and ``<SHA-256>.state``.

    Raises NotFound for a folder that is not there.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise NotFound(f"{self.path}: no such folder")

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> VectorFolder:
        return cls(folder_make(Path(path)))

    def file(self, digest: str) -> Path:
        return self.path / f"{digest}.vector"

    def state_file(self, digest: str) -> Path:
        return self.path / f"{digest}.state"

    def source(self, digest: str) -> Iterator[bytes]:
        """A vector's bytes in pieces; total_of checks them against their digest."""
        path = self.file(digest)
        if not path.exists():
            raise InvalidInput(f"masked vector {digest[:16]} is not in {self.path}")
        return read_pieces(path)

    def missing(self, transcript: Transcript) -> list[str]:
        """The members of a masked attempt's cohort whose vectors are not here."""
        return [
            signed.body.organization
            for signed in transcript.contributions
            if signed.body.masked is not None and not self.file(signed.body.masked).exists()
        ]

    def fill(self, attempts: Iterable[Transcript], fetch: Fetch) -> tuple[int, list[str]]:
        """Fetch what is missing of the released attempts.

        Returns how many bytes came, and what is gone at the coordinator, in words. Raises
        InvalidInput for bytes of another digest, which are not kept.
        """
        size, gone = 0, []
        for transcript in attempts:
            for signed in transcript.contributions if transcript.release else ():
                digest = signed.body.masked
                if digest is None or self.file(digest).exists():
                    continue
                try:
                    size += self._keep(self.file(digest), digest, fetch(transcript, digest))
                except NotFound:
                    context = transcript.context
                    gone.append(
                        f"{signed.body.organization} in round {context.round}.{context.attempt}"
                    )
        return size, gone

    def state_fill(self, record: JobRecord, fetch: Callable[[str], Iterable[bytes]]) -> int:
        """Fetch the record's initial state by its digest, if it lies beside and is not here.

        Returns how many bytes came. Raises InvalidInput for bytes of another digest.
        """
        digest = record.attempts[0].spec.body.initial_state
        path = self.state_file(digest)
        if record.initial_state is not None or path.exists():
            return 0
        return self._keep(path, digest, fetch(digest))

    def _keep(self, path: Path, digest: str, pieces: Iterable[bytes]) -> int:
        seen, size = hashlib.sha256(), 0
        with writing_aside(self.path) as (aside, file):
            for piece in pieces:
                seen.update(piece)
                size += len(piece)
                file.write(piece)
            if seen.hexdigest() != digest:
                raise InvalidInput(
                    f"{path.name[:16]}{path.suffix} came with digest {seen.hexdigest()[:16]}"
                )
            keep_aside(aside, file, path)
        return size
