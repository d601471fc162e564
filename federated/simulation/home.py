"""A site's real folder and ledger, with a place to die before and after every durable write."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from federated.aggregation.base import Sink
from federated.protocol.address import Attempt
from federated.simulation.faults import Faults
from federated.site.campaign_folder import CampaignFolder, RunFolder
from federated.site.epochs import EpochFolder
from federated.site.folder import SiteHome
from federated.site.job_folder import JobFolder
from federated.site.ledger import Ledger

F = TypeVar("F")
P = ParamSpec("P")
R = TypeVar("R")


class Mortal:
    """What may die where ``faults`` say so; the other arguments are those of the real class."""

    def __init__(self, *place: Any, faults: Faults, **more: Any) -> None:
        super().__init__(*place, **more)
        self.faults = faults

    @contextmanager
    def dying(self) -> Iterator[None]:
        self.faults.crash_point()
        yield
        self.faults.crash_point()


def mortal(write: Callable[Concatenate[F, P], R]) -> Callable[Concatenate[F, P], R]:
    """The same durable write, with a place to die before and after it."""

    @wraps(write)
    def dying_write(self: F, /, *args: P.args, **kwargs: P.kwargs) -> R:
        assert isinstance(self, Mortal)
        with self.dying():
            return write(self, *args, **kwargs)

    return dying_write


class MortalLedger(Mortal, Ledger):
    """May die before a transaction, inside it (rolled back, as on the disk) and after it."""

    def __init__(self, path: Path, *, now: Callable[[], datetime], faults: Faults) -> None:
        super().__init__(path, now=now, faults=faults)
        # Nothing here outlives the process that the simulation runs in.
        self._db.execute("PRAGMA synchronous = OFF")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.dying(), super()._transaction() as db:
            yield db
            self.faults.crash_point()


class MortalFolder(Mortal, JobFolder):
    spec_keep = mortal(JobFolder.spec_keep)
    signed_keep = mortal(JobFolder.signed_keep)
    message_keep = mortal(JobFolder.message_keep)
    state_keep = mortal(JobFolder.state_keep)

    @contextmanager
    def vector_writing(self, at: Attempt) -> Iterator[tuple[Sink, Callable[[str], None]]]:
        with super().vector_writing(at) as (sink, keep):

            def dying_sink(piece: bytes) -> None:
                self.faults.crash_point()
                sink(piece)

            def dying_keep(digest: str) -> None:
                with self.dying():
                    keep(digest)

            yield dying_sink, dying_keep


class MortalEpoch(Mortal, EpochFolder):
    accept = mortal(EpochFolder.accept)
    epoch_keep = mortal(EpochFolder.epoch_keep)
    share_keep = mortal(EpochFolder.share_keep)


class MortalCampaign(Mortal, CampaignFolder):
    spec_keep = mortal(CampaignFolder.spec_keep)
    signed_keep = mortal(CampaignFolder.signed_keep)

    def run(self, number: int) -> RunFolder:
        return MortalRun(super().run(number).path, self, faults=self.faults)


class MortalRun(Mortal, RunFolder):
    signed_keep = mortal(RunFolder.signed_keep)
    message_keep = mortal(RunFolder.message_keep)
    measured_take = mortal(RunFolder.measured_take)
    replacement_keep = mortal(RunFolder.replacement_keep)
    replacement_done = mortal(RunFolder.replacement_done)
    replacement_drop = mortal(RunFolder.replacement_drop)
    release_keep = mortal(RunFolder.release_keep)


class MortalHome(SiteHome):
    def __init__(self, path: Path, *, now: Callable[[], datetime], faults: Faults) -> None:
        super().__init__(path)
        self._now, self._faults = now, faults

    @cached_property
    def ledger(self) -> Ledger:
        return MortalLedger(self.path / "ledger.sqlite", now=self._now, faults=self._faults)

    def job(self, job_id: str) -> JobFolder:
        return MortalFolder(super().job(job_id).path, faults=self._faults)

    def campaign(self, campaign_id: str) -> CampaignFolder:
        return MortalCampaign(super().campaign(campaign_id).path, faults=self._faults)

    def epoch_folder(self, digest: str) -> EpochFolder:
        return MortalEpoch(super().epoch_folder(digest).path, faults=self._faults)
