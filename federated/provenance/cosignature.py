"""Witnesses' cosignatures on checkpoints: C2SP tlog-cosignature (https://c2sp.org/tlog-cosignature).

A cosignature/v1 is a note signature by an Ed25519 key of type 0x04 over the lines
``cosignature/v1`` and ``time <POSIX seconds>`` and the checkpoint's text. It says that at that time
this was the largest consistent head of the log that the witness had seen. It says nothing of
what the log's events mean.

`Request` is the body of add-checkpoint in C2SP tlog-witness (https://c2sp.org/tlog-witness).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from federated.errors import InvalidInput, SignatureInvalid
from federated.provenance.checkpoint import (
    MAX_NOTE_BYTES,
    NoteSignature,
    VerifierKey,
    decode_base64,
    split_note,
)
from federated.provenance.events import log_origin
from federated.provenance.merkle import HASH_SIZE

TIME_BYTES = 8
MAX_TIME = 2**63 - 1
MAX_PROOF_LINES = 63


class CosignerKey(VerifierKey):
    """A witness's public key, a verifier key of type 0x04."""

    ALGORITHM: ClassVar[bytes] = b"\x04"


@dataclass(frozen=True)
class Cosignature:
    """A verified cosignature: whose, and the witness's clock then (POSIX seconds)."""

    name: str
    time: int


def witness_name(consortium: str, organization: str) -> str:
    """The key name of an organization's witness."""
    return f"{log_origin(consortium, organization)}/witness"


def cosign(text: str, key: Ed25519PrivateKey, *, name: str, time: int) -> str:
    """The signature line, with its line feed, of a checkpoint's text."""
    if not 0 < time <= MAX_TIME:
        raise InvalidInput(f"a cosignature's time is from 1 to {MAX_TIME}, not {time}")
    stamped = time.to_bytes(TIME_BYTES, "big") + key.sign(_message(text, time))
    blob = base64.b64encode(CosignerKey.of(name, key).key_id + stamped).decode()
    return f"— {name} {blob}\n"


def cosignature_of(note: str, key: CosignerKey) -> Cosignature | None:
    """The key's cosignature on a note, verified; None if the note has none by it.

    Raises `InvalidInput` for a malformed note, `SignatureInvalid` for one that does not verify.
    """
    text, signatures = split_note(note)
    mine = [s for s in signatures if s.name == key.name and s.key_id == key.key_id]
    times = [_verify(text, signature, key) for signature in mine]
    return Cosignature(key.name, max(times)) if times else None


def cosignatures(note: str, keys: Iterable[CosignerKey]) -> list[Cosignature]:
    """The verified cosignatures by any of `keys`. Raises as `cosignature_of`."""
    found = [cosignature_of(note, key) for key in keys]
    return [cosignature for cosignature in found if cosignature is not None]


def _verify(text: str, signature: NoteSignature, key: CosignerKey) -> int:
    stamp, raw = signature.signature[:TIME_BYTES], signature.signature[TIME_BYTES:]
    time = int.from_bytes(stamp, "big")
    if time > MAX_TIME:
        raise SignatureInvalid(f"the cosignature by {key.name} has no possible time")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(raw, _message(text, time))
    except (InvalidSignature, ValueError) as exc:
        raise SignatureInvalid(f"the cosignature by {key.name} does not verify") from exc
    return time


def _message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()


@dataclass(frozen=True)
class Request:
    """A log's request to cosign `note`, with the proof that it extends the head of size `old`."""

    old: int
    proof: tuple[bytes, ...]
    note: str

    def __str__(self) -> str:
        lines = [base64.b64encode(item).decode() for item in self.proof]
        return "".join(f"{line}\n" for line in (f"old {self.old}", *lines, "")) + self.note

    @classmethod
    def parse(cls, body: str) -> Request:
        """Raises `InvalidInput` unless the body has the one spelling of the specification."""
        if len(body) > 2 * MAX_NOTE_BYTES:
            raise InvalidInput("the witness's request is too long")
        head, separator, note = body.partition("\n\n")
        first, *lines = head.split("\n")
        found = re.fullmatch(r"old (0|[1-9][0-9]{0,18})", first)
        if not separator or found is None:
            raise InvalidInput("a witness's request is an old size, a proof, an empty line, a note")
        if len(lines) > MAX_PROOF_LINES:
            raise InvalidInput(f"a consistency proof has at most {MAX_PROOF_LINES} hashes")
        proof = tuple(decode_base64(line, "a proof's line") for line in lines)
        if any(len(item) != HASH_SIZE for item in proof):
            raise InvalidInput(f"a proof's hash has {HASH_SIZE} bytes")
        split_note(note)
        return cls(int(found[1]), proof, note)
