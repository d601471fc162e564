"""HPKE (RFC 9180) in base mode: X25519, HKDF-SHA256, AES-256-GCM. Key shares travel in it.

Base mode does not say who sealed: sign the sealed bytes.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from federated.errors import InvalidInput

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_RAW_BYTES = 32


class EnvelopeInvalid(InvalidInput):
    code = "envelope_invalid"
    title = "The sealed envelope does not open"


def generate() -> tuple[bytes, bytes]:
    """A fresh (private, public) X25519 key pair, 32 raw bytes each."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def seal(public_raw: bytes, plaintext: bytes, *, info: bytes, aad: bytes = b"") -> bytes:
    """Encrypt to a 32-byte public key; encapsulated key, then ciphertext (48 bytes longer).

    ``info`` says what the envelope is for and ``aad`` what it belongs to; opening needs both.
    Raises InvalidInput for an impossible public key.
    """
    if len(public_raw) != _RAW_BYTES:
        raise InvalidInput(f"X25519 public key has {len(public_raw)} bytes: 32 are allowed")
    try:
        public = X25519PublicKey.from_public_bytes(public_raw)
        return _SUITE.encrypt(plaintext, public, info=_bound(info, aad))
    except ValueError as error:
        raise InvalidInput("X25519 public key is not usable") from error


def open(private_raw: bytes, sealed: bytes, *, info: bytes, aad: bytes = b"") -> bytes:
    """The plaintext; EnvelopeInvalid for another key, info or aad, or for altered bytes."""
    private = _private(private_raw)
    try:
        return _SUITE.decrypt(sealed, private, info=_bound(info, aad))
    except (InvalidTag, ValueError) as error:
        raise EnvelopeInvalid(
            "sealed envelope does not open with this key for this purpose"
        ) from error


def _private(private_raw: bytes) -> X25519PrivateKey:
    if len(private_raw) != _RAW_BYTES:
        raise InvalidInput(f"X25519 private key has {len(private_raw)} bytes: 32 are allowed")
    return X25519PrivateKey.from_private_bytes(private_raw)


def _bound(info: bytes, aad: bytes) -> bytes:
    """Both, framed, as HPKE's info: each key seals one message here, so binding the additional
    data in the key schedule is as strong as in the AEAD, which this library does not expose."""
    return len(info).to_bytes(8, "big") + info + aad
