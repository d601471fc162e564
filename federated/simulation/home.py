"""A site's real folder and ledger, with a place to die before and after every durable write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from federated.aggregation.base import Sink
from federated.crypto.threshold import KeyShare
from federated.protocol.address import Attempt
from federated.simulation.faults import Faults
from federated.site.campaign_folder import CampaignFolder, Measurements, RunFolder
from federated.site.epochs import EpochFolder, Note
from federated.site.folder import SiteHome
from federated.site.job_folder import JobFolder
from federated.site.ledger import Ledger
from federated.wire.base import Message, Signed
from federated.wire.campaign import CampaignRelease, CampaignSpec, Submission
from federated.wire.job import JobSpec
from federated.wire.key import KeyEpoch

M = TypeVar("M", bound=Message)


class MortalLedger(Ledger):
    """May die before a transaction, inside it (rolled back, as on the disk) and after it."""

    def __init__(self, path: Path, *, now: Callable[[], datetime], faults: Faults) -> None:
        super().__init__(path, now=now)
        self._faults = faults
        # Nothing here outlives the process that the simulation runs in.
        self._db.execute("PRAGMA synchronous = OFF")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._faults.crash_point()
        with super()._transaction() as db:
            yield db
            self._faults.crash_point()
        self._faults.crash_point()


class MortalFolder(JobFolder):
    def __init__(self, path: Path, faults: Faults) -> None:
        super().__init__(path)
        self._faults = faults

    def spec_keep(self, spec: JobSpec) -> JobSpec:
        with dying(self._faults):
            return super().spec_keep(spec)

    def signed_keep(self, name: str, signed: Signed[M]) -> Signed[M]:
        with dying(self._faults):
            return super().signed_keep(name, signed)

    @contextmanager
    def vector_writing(self, at: Attempt) -> Iterator[tuple[Sink, Callable[[str], None]]]:
        with super().vector_writing(at) as (sink, keep):

            def dying_sink(piece: bytes) -> None:
                self._faults.crash_point()
                sink(piece)

            def dying_keep(digest: str) -> None:
                with dying(self._faults):
                    keep(digest)

            yield dying_sink, dying_keep

    def message_keep(self, name: str, message: M) -> M:
        with dying(self._faults):
            return super().message_keep(name, message)

    def state_keep(self, round: int, content: Iterable[bytes | memoryview]) -> None:
        with dying(self._faults):
            super().state_keep(round, content)


class MortalEpoch(EpochFolder):
    def __init__(self, path: Path, faults: Faults) -> None:
        super().__init__(path)
        self._faults = faults

    def accept(self, by: str) -> Note:
        with dying(self._faults):
            return super().accept(by)

    def epoch_keep(self, epoch: KeyEpoch) -> None:
        with dying(self._faults):
            super().epoch_keep(epoch)

    def share_keep(self, share: KeyShare) -> None:
        with dying(self._faults):
            super().share_keep(share)


class MortalCampaign(CampaignFolder):
    def __init__(self, path: Path, faults: Faults) -> None:
        super().__init__(path)
        self._faults = faults

    def spec_keep(self, spec: CampaignSpec) -> None:
        with dying(self._faults):
            super().spec_keep(spec)

    def signed_keep(self, name: str, signed: Signed[M]) -> Signed[M]:
        with dying(self._faults):
            return super().signed_keep(name, signed)

    def run(self, number: int) -> RunFolder:
        return MortalRun(super().run(number).path, self, self._faults)


class MortalRun(RunFolder):
    def __init__(self, path: Path, campaign: CampaignFolder, faults: Faults) -> None:
        super().__init__(path, campaign)
        self._faults = faults

    def signed_keep(self, name: str, signed: Signed[M]) -> Signed[M]:
        with dying(self._faults):
            return super().signed_keep(name, signed)

    def message_keep(self, name: str, message: M) -> M:
        with dying(self._faults):
            return super().message_keep(name, message)

    def measured_take(self) -> Measurements | None:
        with dying(self._faults):
            return super().measured_take()

    def replacement_keep(self, measured: Measurements, signed: Signed[Submission]) -> None:
        with dying(self._faults):
            super().replacement_keep(measured, signed)

    def replacement_done(self) -> None:
        with dying(self._faults):
            super().replacement_done()

    def replacement_drop(self) -> None:
        with dying(self._faults):
            super().replacement_drop()

    def release_keep(self, release: CampaignRelease, spec: CampaignSpec) -> None:
        with dying(self._faults):
            super().release_keep(release, spec)


class MortalHome(SiteHome):
    def __init__(self, path: Path, *, now: Callable[[], datetime], faults: Faults) -> None:
        super().__init__(path)
        self._now, self._faults = now, faults

    @cached_property
    def ledger(self) -> Ledger:
        return MortalLedger(self.path / "ledger.sqlite", now=self._now, faults=self._faults)

    def job(self, job_id: str) -> JobFolder:
        return MortalFolder(super().job(job_id).path, self._faults)

    def campaign(self, campaign_id: str) -> CampaignFolder:
        return MortalCampaign(super().campaign(campaign_id).path, self._faults)

    def epoch_folder(self, digest: str) -> EpochFolder:
        return MortalEpoch(super().epoch_folder(digest).path, self._faults)


@contextmanager
def dying(faults: Faults) -> Iterator[None]:
    faults.crash_point()
    yield
    faults.crash_point()
