"""What a site keeps of one key epoch, from the coordinator's offer to the end of its share.

::

    offered.json      as the coordinator published it, until somebody here accepted it
    accepted.json     who accepted the fingerprint, and when
    epoch.json        the accepted epoch: what this site encrypts under and verifies with
    share.json        the opened key share (0600), if this site is a trustee
    retired.json      why the share is gone, and since when; it is never taken again
    key-retired.json  the signed word of it, for the coordinator
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from federated.api.credentials import read_private
from federated.crypto.threshold import KeyShare
from federated.errors import Forbidden
from federated.files import folder_sync, read_optional, write_durably, write_once
from federated.wire.base import Signed, decode_bytes, encode_bytes
from federated.wire.key import KeyEpoch, KeyRetired


class KeyIsRetired(Forbidden):
    """The site destroyed its share of this key, and takes part in nothing under it any more."""

    code = "key_retired"
    title = "The key is retired here"


@dataclass(frozen=True)
class Note:
    """Who decided, and when (UTC, ISO 8601)."""

    by: str
    at: str


class EpochFolder:
    """One epoch's folder, named by its digest."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def digest(self) -> str:
        return self.path.name

    # From an offer to an accepted epoch.

    def offered(self) -> KeyEpoch | None:
        return self._epoch("offered.json")

    def offer_keep(self, epoch: KeyEpoch) -> None:
        if self.offered() is None:
            write_durably(self.path / "offered.json", epoch.canonical())

    def accepted(self) -> Note | None:
        return self._note("accepted.json")

    def accept(self, by: str) -> Note:
        """The first acceptance is the one that is kept."""
        return self._note_once("accepted.json", by)

    def epoch(self) -> KeyEpoch | None:
        """The epoch that this site checked, accepted and kept."""
        return self._epoch("epoch.json")

    def epoch_keep(self, epoch: KeyEpoch) -> None:
        write_durably(self.path / "epoch.json", epoch.canonical())
        (self.path / "offered.json").unlink(missing_ok=True)

    # The share.

    def share(self) -> KeyShare | None:
        path = self.path / "share.json"
        if not path.exists():
            return None
        return KeyShare.decode(decode_bytes(json.loads(read_private(path))["share"]))

    def share_keep(self, share: KeyShare) -> None:
        self.check_not_retired()
        content = json.dumps({"index": share.index, "share": encode_bytes(share.encode())})
        write_durably(self.path / "share.json", content.encode())

    # Its end.

    def retired(self) -> Note | None:
        return self._note("retired.json")

    def check_not_retired(self) -> None:
        """Raises KeyIsRetired."""
        note = self.retired()
        if note is not None:
            raise KeyIsRetired(
                f"key epoch {self.digest[:16]} was retired here, {note.at}: {note.by}"
            )

    def retire(self, by: str) -> Note:
        """Destroy the share; it is not taken again. Safe to repeat after a crash at any line."""
        note = self._note_once("retired.json", by)
        for path in [self.path / "share.json", *self.path.glob(".share.json.*")]:
            destroy(path)
        return note

    def word(self) -> Signed[KeyRetired] | None:
        content = read_optional(self.path / "key-retired.json")
        return None if content is None else Signed[KeyRetired].parse(content)

    def word_keep(self, signed: Signed[KeyRetired]) -> Signed[KeyRetired]:
        content = write_once(self.path / "key-retired.json", signed.canonical())
        return Signed[KeyRetired].parse(content)

    def _epoch(self, name: str) -> KeyEpoch | None:
        content = read_optional(self.path / name)
        return None if content is None else KeyEpoch.parse(content)

    def _note(self, name: str) -> Note | None:
        content = read_optional(self.path / name)
        return None if content is None else Note(**json.loads(content))

    def _note_once(self, name: str, by: str) -> Note:
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        content = write_once(self.path / name, json.dumps({"by": by, "at": moment}).encode())
        return Note(**json.loads(content))


def destroy(path: Path) -> None:
    """Overwrite a file with random bytes, sync, and unlink it; an absent one is fine.

    A copying file system, a drive that remaps its blocks, or a backup may still hold the old
    bytes: that is for disk encryption and for the backup's own rotation to end.
    """
    with contextlib.suppress(FileNotFoundError):
        with path.open("r+b") as file:
            file.write(secrets.token_bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        folder_sync(path.parent)
