"""The numbers of one masked vector, from public bytes: what another implementation reproduces."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from federated.crypto import masking
from federated.crypto.masking import MaskLayout, PublicPart
from federated.crypto.negacyclic import SmallFactor

CONTEXT = bytes(range(32))
LAYOUTS = {26: MaskLayout(4, 1000, 20.0), 52: MaskLayout(4, 10**9, 20.0)}


class Counted:
    """SHAKE256 of a label and a running number, in place of the system's randomness."""

    def __init__(self, label: bytes) -> None:
        self.label, self.calls = label, 0

    def __call__(self, size: int) -> bytes:
        self.calls += 1
        return hashlib.shake_256(self.label + bytes([self.calls])).digest(size)


def masked_vector(width: int) -> dict[str, Any]:
    """One vector of two blocks and a bit, with everything in it."""
    layout = LAYOUTS[width]
    count = layout.values_per_word * (2 * masking.DEGREE + 5)
    values = np.arange(count, dtype=np.int64) * 7919 % 2001 - 1000
    key = masking.fresh_key(source=Counted(b"key"))
    words = layout.words(count)
    public = PublicPart(CONTEXT)
    masks = masking.masks(SmallFactor(key), public, words, source=Counted(b"errors"))
    masked = np.concatenate(list(masks)) + layout.encode(values)
    packed = masking.key_layout(layout.contributors, 3072).pack(key)
    plaintexts = b"".join((plaintext % 2**3072).to_bytes(384, "big") for plaintext in packed)
    return {
        "context": CONTEXT.hex(),
        "contributors": layout.contributors,
        "values": {"count": count, "formula": "7919 j mod 2001 - 1000"},
        "randomness": "SHAKE256(label, call number in one byte); labels key and errors",
        "a": [f"{a:016x}" for a in next(public.chunks(words)).reshape(-1)[:8].tolist()],
        "key": key[:16].tolist(),
        "key_sha256": hashlib.sha256(key.astype("<i8").tobytes()).hexdigest(),
        "key_plaintexts_sha256": hashlib.sha256(plaintexts).hexdigest(),
        "masked": [f"{word:016x}" for word in masked[:8].tolist()],
        "masked_sha256": hashlib.sha256(masked.astype("<u8").tobytes()).hexdigest(),
    }


def masking_vectors() -> dict[str, Any]:
    return {f"{width} bits": masked_vector(width) for width in LAYOUTS}
