"""Checkpoints: signed tree heads in the C2SP formats.

- tlog-checkpoint (https://c2sp.org/tlog-checkpoint): the lines origin, size and base64(root), then
  optional extension lines.
- signed-note (https://c2sp.org/signed-note): a text, an empty line, then lines
  ``— name base64(key id || signature)``; Ed25519 signs the text with its last newline.

A signature by a key that the reader does not know is ignored, as the format asks; one by a known
key that does not verify refuses the whole note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import ClassVar, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from federated.errors import InvalidInput, SignatureInvalid
from federated.provenance.merkle import HASH_SIZE

ED25519 = b"\x01"
MAX_NOTE_BYTES = 512 * 1024
MAX_SIGNATURES = 2000
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True)
class Checkpoint:
    """The head of a log: `root` (32 bytes) over its first `size` leaves."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def text(self) -> str:
        root = base64.b64encode(self.root).decode()
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))


@dataclass(frozen=True)
class NoteSignature:
    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True)
class VerifierKey:
    """A note's public key: ``name+hex(key id)+base64(algorithm || key)``."""

    ALGORITHM: ClassVar[bytes] = ED25519

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256(name || 0x0A || algorithm || public key)[:4]."""
        return hashlib.sha256(self.name.encode() + b"\n" + self.ALGORITHM + self.public).digest()[
            :4
        ]

    def __str__(self) -> str:
        encoded = base64.b64encode(self.ALGORITHM + self.public).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls: type[K], text: str) -> K:
        """Raises `InvalidInput` for another algorithm or a key id that does not match."""
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not parts[0] or re.search(r"\s", parts[0]):
            raise InvalidInput("a verifier key reads name+keyid+base64")
        key = decode_base64(parts[2], "the verifier key")
        if len(key) != 33 or key[:1] != cls.ALGORITHM:
            raise InvalidInput(f"the verifier key is not an Ed25519 key of type {cls.ALGORITHM[0]}")
        parsed = cls(parts[0], key[1:])
        if parsed.key_id.hex() != parts[1]:
            raise InvalidInput(f"the verifier key's id is not {parts[1]}")
        return parsed

    @classmethod
    def of(cls: type[K], name: str, key: Ed25519PrivateKey) -> K:
        return cls(name, key.public_key().public_bytes_raw())


K = TypeVar("K", bound=VerifierKey)


def sign_checkpoint(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """The checkpoint as a note signed under the key name `checkpoint.origin`."""
    text = checkpoint.text()
    parse_checkpoint_text(text)
    verifier = VerifierKey.of(checkpoint.origin, key)
    blob = base64.b64encode(verifier.key_id + key.sign(text.encode())).decode()
    return f"{text}\n— {checkpoint.origin} {blob}\n"


def split_note(note: str) -> tuple[str, list[NoteSignature]]:
    """A note's text and its signature lines, unverified. Raises `InvalidInput`."""
    if len(note.encode("utf-8", "surrogatepass")) > MAX_NOTE_BYTES:
        raise InvalidInput(f"a note has at most {MAX_NOTE_BYTES} bytes")
    if any(ord(char) < 0x20 and char != "\n" for char in note):
        raise InvalidInput("a note has no control characters")
    head, separator, tail = note.rpartition("\n\n")
    if not separator or not head or not tail.endswith("\n"):
        raise InvalidInput("a note is a text, an empty line and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise InvalidInput(f"a note has at most {MAX_SIGNATURES} signatures")
    signatures = []
    for line in lines:
        match = _SIGNATURE_LINE.fullmatch(line)
        if match is None:
            raise InvalidInput("a note's signature line reads '— name base64'")
        blob = decode_base64(match[2], "a note's signature")
        if len(blob) < 5:
            raise InvalidInput("a note's signature is too short")
        signatures.append(NoteSignature(match[1], blob[:4], blob[4:]))
    return head + "\n", signatures


def verify_note(note: str, key: VerifierKey) -> str:
    """The note's text, once `key` is seen to have signed it.

    Raises `InvalidInput` for a malformed note, `SignatureInvalid` if `key` did not sign.
    """
    text, signatures = split_note(note)
    mine = [s for s in signatures if s.name == key.name and s.key_id == key.key_id]
    if not mine:
        raise SignatureInvalid(f"the note is not signed by {key.name} ({key.key_id.hex()})")
    for signature in mine:
        try:
            public = Ed25519PublicKey.from_public_bytes(key.public)
            public.verify(signature.signature, text.encode())
        except (InvalidSignature, ValueError) as exc:
            raise SignatureInvalid(f"the note's signature by {key.name} does not verify") from exc
    return text


def signed_only_by(note: str, key: VerifierKey) -> str:
    """The note without the signature lines of any other key, unverified."""
    text, signatures = split_note(note)
    mine = [s for s in signatures if s.name == key.name and s.key_id == key.key_id]
    blobs = [base64.b64encode(s.key_id + s.signature).decode() for s in mine]
    return f"{text}\n" + "".join(f"— {key.name} {blob}\n" for blob in blobs)


def verify_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """The signed checkpoint; its origin must be the key's name.

    Raises `InvalidInput` or `SignatureInvalid`.
    """
    checkpoint = parse_checkpoint_text(verify_note(note, key))
    if checkpoint.origin != key.name:
        raise InvalidInput(f"the checkpoint is of {checkpoint.origin}, not of {key.name}")
    return checkpoint


def parse_checkpoint(note: str) -> Checkpoint:
    """The checkpoint in a note, signatures *not* verified. Raises `InvalidInput`."""
    return parse_checkpoint_text(split_note(note)[0])


def parse_checkpoint_text(text: str) -> Checkpoint:
    """Raises `InvalidInput` unless the text is a checkpoint in its one spelling."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] != "" or not all(lines[:-1]):
        raise InvalidInput("a checkpoint reads origin, size, base64 root, each on a line")
    origin, size, encoded, *extensions = lines[:-1]
    if re.search(r"[\s+]", origin):
        raise InvalidInput("a checkpoint's origin has no spaces and no plus sign")
    if not _SIZE.fullmatch(size):
        raise InvalidInput("a checkpoint's size is a decimal number without leading zeros")
    root = decode_base64(encoded, "the checkpoint's root")
    if len(root) != HASH_SIZE:
        raise InvalidInput(f"the checkpoint's root has {len(root)} bytes, not {HASH_SIZE}")
    return Checkpoint(origin, int(size), root, tuple(extensions))


def decode_base64(text: str, what: str) -> bytes:
    """Canonical standard base64 (RFC 4648 section 4). Raises `InvalidInput`."""
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput(f"{what} is not base64") from exc
    if base64.b64encode(decoded).decode() != text:
        raise InvalidInput(f"{what} is not canonical base64")
    return decoded
