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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from uuid import UUID

from federated.api.credentials import Credentials, read_private
from federated.crypto.threshold import KeyShare
from federated.errors import Conflict, InvalidInput, NotFound
from federated.files import (
    folder_make,
    read_optional,
    write_durably,
)
from federated.site.campaign_folder import CampaignFolder
from federated.site.epochs import EpochFolder
from federated.site.job_folder import JobFolder
from federated.site.ledger import Ledger
from federated.site.policy import Policy
from federated.wire.key import KeyEpoch

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
