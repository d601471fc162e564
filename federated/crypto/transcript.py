"""Fiat-Shamir transcripts over SHAKE256 (FIPS 202)."""

from __future__ import annotations

import hashlib

PROTOCOL = b"federated-simulation-cloud/v1"


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(8, "big") + data


class Transcript:
    """Absorbs what prover and verifier have both seen, and draws challenges from it.

    Every append frames its label and its value with their lengths and the value's type, so no two
    different sequences of appends hash the same bytes. A challenge depends on all that came
    before it, earlier challenges included.
    """

    def __init__(self, domain: bytes) -> None:
        self._hash = hashlib.shake_256(_framed(PROTOCOL) + _framed(domain))

    def append(self, label: str, value: bytes | int | str) -> None:
        """Absorb one labelled value; an int is non-negative (else ValueError)."""
        if isinstance(value, bytes):
            kind, data = b"b", value
        elif isinstance(value, str):
            kind, data = b"s", value.encode()
        else:
            if value < 0:
                raise ValueError("a transcript holds non-negative integers")
            kind, data = b"i", value.to_bytes((value.bit_length() + 7) // 8, "big")
        self._hash.update(b"a" + _framed(label.encode()) + kind + _framed(data))

    def challenge_bytes(self, label: str, length: int) -> bytes:
        """``length`` uniform bytes."""
        self._hash.update(b"c" + _framed(label.encode()) + length.to_bytes(8, "big"))
        return self._hash.copy().digest(length)

    def challenge(self, label: str, bits: int = 128) -> int:
        """A uniform integer below 2**bits."""
        length = (bits + 7) // 8
        return int.from_bytes(self.challenge_bytes(label, length), "big") >> (8 * length - bits)
