"""A site's folder: everything that it must remember, and where.

::

    site.pem            key, certificate, CA (0600)
    site.json           organization, consortium, coordinator's address
    encryption.key      X25519 private key, 32 bytes (0600)
    policy.yaml         what this site accepts, its allotments and data sets
    ledger.sqlite       the authoritative privacy ledger
    agent.lock          held by the one running agent
    witness/            witness key, cosigned heads, evidence (federated.site.witness)
    epochs/<digest>/    key epoch, the opened key share, and the end of both (epochs.py)
    jobs/<job id>/      approved spec, binding to local data, signed bytes by attempt, curve,
                        models, counts of a joint evaluation, comparison with training alone
    campaigns/<id>/     see campaign_home.py

Nothing under it is sent as it is, except bytes that were signed to be sent.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from federated.aggregation.base import Sink
from federated.api.credentials import Credentials, read_private
from federated.crypto.threshold import KeyShare
from federated.errors import Conflict, InvalidInput, NotFound
from federated.files import (
    folder_make,
    keep_aside,
    read_mapped,
    read_optional,
    write_durably,
    write_once,
    writing_aside,
)
from federated.site.epochs import EpochFolder
from federated.site.job_results import JobResults
from federated.site.ledger import Ledger
from federated.site.policy import Policy
from federated.wire.base import Message, Signed
from federated.wire.job import JobSpec
from federated.wire.key import KeyEpoch

if TYPE_CHECKING:
    from federated.site.campaign_folder import CampaignFolder
    from federated.training.server import ServerState

M = TypeVar("M", bound=Message)
_DIGEST = re.compile(r"[0-9a-f]{64}")


class AgentRuns(Conflict):
    """Another process holds the site's lock."""

    code = "agent_runs"
    title = "An agent runs for this site already"


@dataclass(frozen=True)
class About:
    """What ``federated join`` wrote down."""

    organization: str
    consortium: str
    url: str


class SiteHome:
    """Paths and small typed reads and writes of a site's folder."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().resolve()
        if not self.path.is_dir():
            raise NotFound(f"{self.path}: no such folder; `federated join` makes it")
        self.pem = self.path / "site.pem"

    @classmethod
    def of(cls, credentials: str | os.PathLike[str]) -> SiteHome:
        """The home whose PEM this is, under whatever name; it is the folder that it lies in."""
        pem = Path(credentials).expanduser()
        if not pem.parent.is_dir():
            raise NotFound(f"{pem}: no such file; `federated join` makes it")
        home = cls(pem.parent)
        home.pem = home.path / pem.name
        return home

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> SiteHome:
        """A new or an empty folder, private to its owner."""
        folder = folder_make(Path(path).expanduser().resolve())
        if (folder / "site.pem").exists():
            raise Conflict(f"{folder}: this site has joined already; choose another folder")
        folder.chmod(0o700)
        return cls(folder)

    @property
    def policy_path(self) -> Path:
        return self.path / "policy.yaml"

    @cached_property
    def credentials(self) -> Credentials:
        return Credentials.load(self.pem)

    def credentials_reload(self) -> None:
        """Read them again when next asked for: the certificate was renewed."""
        self.__dict__.pop("credentials", None)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.path / "ledger.sqlite")

    def policy(self) -> Policy:
        """Read anew each time, so that an edit holds from the next decision on."""
        return Policy.load(self.policy_path)

    def encryption_key(self) -> bytes:
        key = read_private(self.path / "encryption.key")
        if len(key) != 32:
            raise InvalidInput(f"{self.path / 'encryption.key'}: must hold 32 bytes")
        return key

    def about(self) -> About:
        content = read_optional(self.path / "site.json")
        if content is None:
            raise NotFound(f"{self.path / 'site.json'}: no such file; `federated join` makes it")
        values = json.loads(content)
        return About(values["organization"], values["consortium"], values["url"])

    def about_write(self, about: About) -> None:
        write_durably(self.path / "site.json", json.dumps(vars(about), indent=2).encode() + b"\n")

    # Key epochs.

    def epoch_folder(self, digest: str) -> EpochFolder:
        return EpochFolder(self.path / "epochs" / digest)

    def epoch_folders(self) -> list[EpochFolder]:
        """Every epoch that this site knows of, accepted or not."""
        folder = self.path / "epochs"
        names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        return [self.epoch_folder(name) for name in names if _DIGEST.fullmatch(name)]

    def epoch(self, digest: str) -> KeyEpoch | None:
        """The epoch that this site checked, accepted and kept."""
        return self.epoch_folder(digest).epoch()

    def share(self, digest: str) -> KeyShare | None:
        """The opened key share of an epoch, if this site is a trustee of it."""
        return self.epoch_folder(digest).share()

    # Jobs.

    def job(self, job_id: str) -> JobFolder:
        return JobFolder(self.path / "jobs" / _checked(job_id))

    def jobs(self) -> Iterator[str]:
        folder = self.path / "jobs"
        if folder.is_dir():
            yield from sorted(entry.name for entry in folder.iterdir() if entry.is_dir())

    # Campaigns.

    def campaign(self, campaign_id: str) -> CampaignFolder:
        from federated.site.campaign_folder import CampaignFolder

        return CampaignFolder(self.path / "campaigns" / _checked(campaign_id))

    def campaigns(self) -> Iterator[str]:
        folder = self.path / "campaigns"
        if folder.is_dir():
            yield from sorted(entry.name for entry in folder.iterdir() if entry.is_dir())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held while an agent runs. Raises AgentRuns when another process (or thread) holds it."""
        with (self.path / "agent.lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise AgentRuns(f"{self.path}: an agent runs here already") from error
            yield

    def agent_note(self) -> None:
        """Remember that an agent of this home has just asked for work."""
        os.utime(self.path / "agent.lock")

    def agent_seen(self) -> float | None:
        """When an agent of this home last asked for work (seconds since 1970), if one ever did."""
        try:
            return (self.path / "agent.lock").stat().st_mtime
        except FileNotFoundError:
            return None

    def agent_runs(self) -> bool:
        """Whether some process holds the agent's lock now."""
        if self.agent_seen() is None:
            return False
        try:
            with self.lock():
                return False
        except AgentRuns:
            return True


def _checked(job_id: str) -> str:
    """A job's or campaign's id as a folder name: only a canonical UUID is one."""
    try:
        if str(UUID(job_id)) == job_id:
            return job_id
    except ValueError:
        pass
    raise InvalidInput(f"id {job_id[:40]!r}: must be a UUID")


@dataclass(frozen=True)
class Attempt:
    """One try at a round of a job."""

    job_id: str
    round: int
    number: int

    def file(self, name: str) -> str:
        """The name that the job's folder keeps a message of this attempt under."""
        return f"attempts/{self.round}-{self.number}/{name}"

    def __str__(self) -> str:
        return f"round {self.round}/{self.number}"


class SignedFolder:
    """Messages by name: signed bytes, kept before they are sent and resent as they are."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def signed(self, kind: type[M], name: str) -> Signed[M] | None:
        content = read_optional(self.path / f"{name}.json")
        return None if content is None else Signed[kind].parse(content)  # type: ignore[valid-type]

    def signed_keep(self, name: str, signed: Signed[M]) -> Signed[M]:
        """Keep the first envelope of this name, and return the one that is kept."""
        content = write_once(self.path / f"{name}.json", signed.canonical())
        return type(signed).parse(content)

    def message(self, kind: type[M], name: str) -> M | None:
        content = read_optional(self.path / f"{name}.json")
        return None if content is None else kind.parse(content)

    def message_keep(self, name: str, message: M) -> M:
        content = write_once(self.path / f"{name}.json", message.canonical())
        return type(message).parse(content)


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
