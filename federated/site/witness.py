"""A site as a witness: its key, the heads that it cosigned, and evidence against a log.

::

    witness/witness.key           Ed25519 private key, 32 bytes (0600)
    witness/log.key               the logs' public key, pinned when it was first met
    witness/heads/<log>/<size>    notes that this site cosigned, by size; the largest binds it
    witness/evidence/<digest>     two signed heads that contradict each other

A head is on the disk before its cosignature leaves, so a site that crashes forgets none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federated.api.credentials import read_private
from federated.errors import Conflict, InvalidInput
from federated.files import read_optional, write_durably, write_once
from federated.provenance.checkpoint import Checkpoint, VerifierKey, verify_checkpoint
from federated.provenance.cosignature import CosignerKey, witness_name
from federated.provenance.events import log_origin
from federated.provenance.evidence import Evidence, Kind, evidence_kind
from federated.site.folder import SiteHome
from federated.wire.base import Digest
from federated.wire.witness import LogName, WitnessKey

LOGS: tuple[LogName, ...] = ("consortium", "own")
HEADS_KEPT = 512
EVIDENCE_MOST = 1000


class LogDeceives(Conflict):
    """A log shows what contradicts a head that it signed before; the two heads are kept."""

    code = "log_deceives"
    title = "The log contradicts what it signed"


class WitnessRefuses(Conflict):
    """A checkpoint that the site does not cosign: not of the log, or not signed by its key."""

    code = "witness_refuses"
    title = "The site does not cosign it"


@dataclass(frozen=True)
class Head:
    """A checkpoint with the note that its log signed."""

    checkpoint: Checkpoint
    note: str

    @property
    def size(self) -> int:
        return self.checkpoint.size


class Witness:
    """What a site's folder holds of its witnessing."""

    def __init__(self, home: SiteHome) -> None:
        self.path = home.path / "witness"
        self.about = home.about()

    @property
    def name(self) -> str:
        """The key name in this site's cosignatures."""
        return witness_name(self.about.consortium, self.about.organization)

    def key(self) -> Ed25519PrivateKey:
        """Made at first use."""
        path = self.path / "witness.key"
        write_once(path, Ed25519PrivateKey.generate().private_bytes_raw())
        return Ed25519PrivateKey.from_private_bytes(read_private(path))

    def key_message(self) -> WitnessKey:
        return WitnessKey(
            consortium=self.about.consortium,
            organization=self.about.organization,
            key=str(CosignerKey.of(self.name, self.key())),
        )

    # The log.

    def origin(self, log: LogName) -> str:
        slug = self.about.organization if log == "own" else None
        return log_origin(self.about.consortium, slug)

    def log_key(self, log: LogName, claimed: str) -> VerifierKey:
        """The key that the log's checkpoints must have: the one met first, under its name.

        Raises InvalidInput for a claim that is no key.
        """
        public = VerifierKey.parse(claimed).public
        return VerifierKey(self.origin(log), write_once(self.path / "log.key", public))

    def log_key_pinned(self, log: LogName) -> VerifierKey | None:
        """The log's key if one was met."""
        public = read_optional(self.path / "log.key")
        return None if public is None else VerifierKey(self.origin(log), public)

    def head_read(self, log: LogName, note: str, key: VerifierKey) -> Head:
        """A note of this log. Raises WitnessRefuses where it is not of it, or not signed by it."""
        try:
            return Head(verify_checkpoint(note, key), note)
        except InvalidInput as error:
            raise WitnessRefuses(f"log {self.origin(log)}: {error.message}") from error

    # Heads that this site cosigned.

    def head(self, log: LogName, key: VerifierKey) -> Head | None:
        """The largest head that was cosigned."""
        sizes = self._sizes(log)
        return None if not sizes else self.head_of(log, max(sizes), key)

    def head_of(self, log: LogName, size: int, key: VerifierKey) -> Head | None:
        """The head of this size, if it was cosigned and is still kept."""
        content = read_optional(self.path / "heads" / log / str(size))
        return None if content is None else self.head_read(log, content.decode(), key)

    def head_size(self, log: LogName) -> int:
        """The size of the largest head that was cosigned; 0 before the first."""
        return max(self._sizes(log), default=0)

    def head_keep(self, log: LogName, head: Head) -> None:
        """Bind this site to a head. Its cosignature must not leave before this returns."""
        folder = self.path / "heads" / log
        write_durably(folder / str(head.size), head.note.encode())
        for size in sorted(self._sizes(log))[:-HEADS_KEPT]:
            (folder / str(size)).unlink(missing_ok=True)

    def _sizes(self, log: LogName) -> list[int]:
        folder = self.path / "heads" / log
        if not folder.is_dir():
            return []
        return [int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()]

    # Evidence.

    def confront(
        self, held: Head, shown: Head, proof: tuple[Digest, ...] | None, *, whose: str
    ) -> None:
        """Compare two heads of one log. Raises LogDeceives, after keeping both, where they differ.

        `proof` leads from the smaller to the larger, as the log claims.
        """
        path = None if proof is None else tuple(bytes.fromhex(item) for item in proof)
        kind = evidence_kind(held.checkpoint, shown.checkpoint, path)
        if kind is not None:
            self.accuse(kind, held, shown, proof or (), whose=whose)

    def accuse(
        self, kind: Kind, held: Head, shown: Head, proof: tuple[Digest, ...] = (), *, whose: str
    ) -> None:
        """Keep both heads as evidence. Raises LogDeceives."""
        detail = (
            f"log {held.checkpoint.origin}: {whose} is of size {held.size} "
            f"(root {held.checkpoint.root.hex()[:16]}), shown was size {shown.size} "
            f"(root {shown.checkpoint.root.hex()[:16]})"
        )
        evidence = Evidence(
            kind=kind,
            origin=held.checkpoint.origin,
            held=held.note,
            shown=shown.note,
            proof=proof,
            seen_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            detail=detail,
        )
        folder = self.path / "evidence"
        same = evidence.model_copy(update={"seen_at": ""}).digest()
        if len(list(folder.glob("*.json"))) < EVIDENCE_MOST:
            write_once(folder / f"{same}.json", evidence.canonical())
        raise LogDeceives(f"{kind}: {detail}; both signed heads are kept: federated evidence")

    def evidence(self) -> Iterator[Evidence]:
        """What was kept, oldest first."""
        files = list((self.path / "evidence").glob("*.json"))
        for file in sorted(files, key=lambda entry: (entry.stat().st_mtime_ns, entry.name)):
            yield Evidence.parse(file.read_bytes())
