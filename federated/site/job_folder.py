"""What a site keeps of one job, under ``jobs/<job id>/`` of its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from federated.aggregation.base import Sink
from federated.errors import Conflict
from federated.files import (
    keep_aside,
    read_mapped,
    read_optional,
    write_durably,
    write_once,
    writing_aside,
)
from federated.protocol.address import Attempt
from federated.site.job_results import JobResults
from federated.site.signed_folder import SignedFolder
from federated.wire.job import JobSpec

if TYPE_CHECKING:
    from federated.training.server import ServerState


class JobFolder(SignedFolder, JobResults):
    """What a site keeps of one job."""

    @property
    def job_id(self) -> str:
        return self.path.name

    # The spec that this site approved; nothing else is ever trained on or decrypted for.

    def spec(self) -> JobSpec | None:
        content = read_optional(self.path / "spec.json")
        return None if content is None else JobSpec.parse(content)

    def spec_keep(self, spec: JobSpec) -> JobSpec:
        kept = JobSpec.parse(write_once(self.path / "spec.json", spec.canonical()))
        if kept.digest() != spec.digest():
            raise Conflict(f"job {self.job_id}: another spec of this job was approved here before")
        return kept

    # Local data chosen by this organization's scientist for the job.

    def binding(self) -> Path | None:
        content = read_optional(self.path / "binding.json")
        return None if content is None else Path(json.loads(content)["path"])

    def bind(self, path: Path) -> None:
        write_durably(self.path / "binding.json", json.dumps({"path": str(path)}).encode())

    # Masked vectors, beside the contributions that sign their digests.

    def vector(self, at: Attempt, digest: str) -> Path:
        return self.path / at.file(f"{digest}.vector")

    @contextmanager
    def vector_writing(self, at: Attempt) -> Iterator[tuple[Sink, Callable[[str], None]]]:
        """A sink for an attempt's masked vector, and what keeps it under its digest.

        Keep it before the contribution that names it: a contribution on the disk then always has
        its vector there. Vectors of contributions that were never kept make way for it.
        """
        folder = self.vector(at, "").parent
        with writing_aside(folder) as (aside, file):

            def keep(digest: str) -> None:
                for old in (*folder.glob("*.vector"), *folder.glob(".aside.*")):
                    if old != aside:
                        old.unlink()
                keep_aside(aside, file, self.vector(at, digest))

            yield file.write, keep

    def vectors_forget(self, *, before: int) -> None:
        """Delete this site's own masked vectors of rounds that lie behind the one before.

        The one before stays, as its state does.
        """
        for path in (self.path / "attempts").glob("*/*.vector"):
            round = path.parent.name.partition("-")[0]
            if round.isdigit() and int(round) < before - 1:
                path.unlink(missing_ok=True)

    # Models that this site recomputed itself: round 0 is the approved initial state.

    def state(self, round: int) -> bytes | None:
        return read_optional(self.path / "states" / f"{round}.safetensors")

    def state_read(self, round: int) -> ServerState | None:
        """The same, parsed; its vectors are views of the mapped file. Raises InvalidInput."""
        from federated.training.server import ServerState

        content = read_mapped(self.path / "states" / f"{round}.safetensors")
        return None if content is None else ServerState.from_bytes(content)

    def state_keep(self, round: int, content: Iterable[bytes | memoryview]) -> None:
        """Keep a state that comes in pieces, whole or not at all."""
        folder = self.path / "states"
        with writing_aside(folder) as (aside, file):
            for piece in content:
                file.write(piece)
            keep_aside(aside, file, folder / f"{round}.safetensors")
        # The one before stays: a coordinator that lost its database may ask for a round again.
        for old in (self.path / "states").glob("*.safetensors"):
            if old.stem.isdigit() and 0 < int(old.stem) < round - 1:
                old.unlink(missing_ok=True)

    def verified_round(self) -> int | None:
        """The last round whose state this site holds; None before the initial state is kept."""
        folder = self.path / "states"
        rounds = [int(f.stem) for f in folder.glob("*.safetensors") if f.stem.isdigit()]
        return max(rounds, default=None)
