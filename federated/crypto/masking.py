"""Key-additive masks: one small Paillier-encrypted key hides a vector of any length.

Block j of a vector is b_j = a_j s + e_j + 2^12 m_j in Z[X] / (2^64, X^4096 + 1): a_j public, from
the round's context; s and e_j secret, small and fresh. Masked vectors add up, and so do keys: who
learns the sum of the keys, and only that, subtracts a_j sum(s), rounds the errors away and holds
the sum of the vectors. (After LERNA, ASIACRYPT 2023, and Willow, eprint 2024/936.)

Why it hides. (a_j, a_j s + e_j) is ring-LWE in normal form, secret and errors from one law
(Applebaum, Cash, Peikert and Sahai, CRYPTO 2009), and pseudorandom for any number of samples of one
secret as long as every error is fresh (Lyubashevsky, Peikert and Regev, EUROCRYPT 2010): so one s
serves all blocks of a contribution, and none serves two contributions. A release shows sum(s) and
with it every sum(e_j). Given the sums of two honest sites, what is left is as hard as ring-LWE with
a width of 1 / sqrt(2 (1/6.4^2 + 1/6.4^2)) = 3.2 (Kim, Lee, Seo and Song, Hint-MLWE, CRYPTO 2023,
theorem 1), the width of the HomomorphicEncryption.org standard, whose limit at degree 4096 is
log2 q = 75 for 192-bit security; here it is 64. This is why a cohort needs two honest members.

How large errors get. A sum of N has standard deviation 6.4 sqrt(N), 202.4 at N = 1,000, where the
rounding limit 2^11 is 10.1 of them away: by the sub-Gaussian tail a coefficient is off by one with
probability below 2^-72.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from federated.crypto import narrow_gaussian
from federated.crypto.negacyclic import DEGREE, SmallFactor, Words
from federated.crypto.packing import SlotLayout
from federated.crypto.transcript import Transcript
from federated.errors import InvalidInput, MaskKeyInvalid

SCALE_BITS = 12
MESSAGE_BITS = 64 - SCALE_BITS
MAX_CONTRIBUTORS = 1000
WORD_BYTES = 8

_DOMAIN = b"rlwe-mask"
# Blocks at once: more are little faster, and take more memory than a site's vector.
CHUNK_BLOCKS = 4


@dataclass(frozen=True)
class MaskLayout:
    """The number of values per coefficient, from public numbers of the job alone.

    The fields are SlotLayout's, and so is the slot formula: two values per coefficient where a slot
    fits 26 bits, one where it fits 52. Raises InvalidInput where it fits neither, or for more than
    1,000 contributors.
    """

    contributors: int
    clamp: int
    sigma: float

    def __post_init__(self) -> None:
        if self.contributors > MAX_CONTRIBUTORS:
            raise InvalidInput(
                f"{self.contributors} contributors: masks add up exactly for {MAX_CONTRIBUTORS}"
            )
        # Its limit is two bits below the modulus, as if the 52 bits were a plaintext.
        SlotLayout(self.contributors, self.clamp, self.sigma, modulus_bits=MESSAGE_BITS + 2)

    @property
    def slot_bits(self) -> int:
        """Bits that the formula asks for; a slot is as wide as its share of a coefficient."""
        return SlotLayout(self.contributors, self.clamp, self.sigma, MESSAGE_BITS + 2).slot_bits

    @property
    def values_per_word(self) -> int:
        return 2 if self.slot_bits <= MESSAGE_BITS // 2 else 1

    @property
    def width(self) -> int:
        """Bits of a slot: 26 or 52."""
        return MESSAGE_BITS // self.values_per_word

    def words(self, count: int) -> int:
        """Coefficients that ``count`` values take."""
        return -(-count // self.values_per_word)

    def encode(self, values: NDArray[np.int64]) -> Words:
        """Scaled coefficients of values (shape (m,)); what does not fit wraps, as a sum does."""
        words = values.astype(np.int64, copy=False).view(np.uint64)
        if self.values_per_word == 2:
            if len(words) % 2:
                words = np.append(words, np.uint64(0))
            words = words[0::2] + (words[1::2] << np.uint64(self.width))
        return np.asarray(words << np.uint64(SCALE_BITS), dtype=np.uint64)

    def decode(self, words: Words, count: int) -> NDArray[np.int64]:
        """The ``count`` summed values in coefficients that carry errors below 2^11.

        A sum outside [-2^(w-1), 2^(w-1)) comes out wrapped, as SlotLayout.unpack says.
        """
        half = np.uint64(1 << (self.width - 1))
        offset = half + (half << np.uint64(self.width)) if self.values_per_word == 2 else half
        signed = ((words + np.uint64(1 << (SCALE_BITS - 1))) >> np.uint64(SCALE_BITS)) + offset
        mask = np.uint64((1 << self.width) - 1)
        values = np.empty(len(words) * self.values_per_word, dtype=np.uint64)
        values[0 :: self.values_per_word] = (signed & mask) - half
        if self.values_per_word == 2:
            values[1::2] = (signed >> np.uint64(self.width) & mask) - half
        return values.view(np.int64)[:count]


def key_layout(contributors: int, modulus_bits: int) -> SlotLayout:
    """The slots of a mask key's 4,096 integers: wide enough for any sum of keys in range."""
    return SlotLayout(
        contributors=contributors,
        clamp=narrow_gaussian.CUT,
        sigma=0.0,
        modulus_bits=modulus_bits,
    )


def fresh_key(*, source: narrow_gaussian.Source | None = None) -> NDArray[np.int64]:
    """A mask key: 4,096 small integers, for one contribution. ``source`` is for tests."""
    return _errors(DEGREE, source).astype(np.int64)


def check_key_sum(key: NDArray[np.int64], contributors: int) -> None:
    """MaskKeyInvalid unless |sum(s)| <= 64 N everywhere: beyond, some site's key was out of range.

    Sums of keys in range always pass: no honest site, and no chance, makes this refuse.
    """
    limit = narrow_gaussian.CUT * contributors
    if key.shape != (DEGREE,) or np.any(np.abs(key) > limit):
        raise MaskKeyInvalid(
            f"mask key: the sum of {contributors} keys is out of range; at most {limit} in "
            "absolute value is allowed, so a contribution's key was too large"
        )


def mask_seed(context: bytes) -> bytes:
    """The public AES-256 key, 32 bytes, whose key stream is the vector a of a context."""
    transcript = Transcript(_DOMAIN)
    transcript.append("context", context)
    return transcript.challenge_bytes("a", 32)


class PublicPart:
    """The polynomials a_0, a_1, ... of one context (bytes, the round context's digest).

    a_j is bytes [32768 j, 32768 (j + 1)) of AES-256 in counter mode from zero, little-endian,
    under a key that SHAKE256 derives from the context: every party derives it and none chooses it.
    """

    def __init__(self, context: bytes) -> None:
        self._key = mask_seed(context)

    def chunks(self, words: int) -> Iterator[Words]:
        """All blocks that ``words`` coefficients need, in order, CHUNK_BLOCKS rows at a time."""
        stream = Cipher(AES256(self._key), CTR(bytes(16))).encryptor()
        blocks = -(-words // DEGREE)
        for at in range(0, blocks, CHUNK_BLOCKS):
            rows = min(CHUNK_BLOCKS, blocks - at)
            data = stream.update(bytes(rows * DEGREE * WORD_BYTES))
            yield np.frombuffer(data, dtype="<u8").reshape(rows, DEGREE)


def masks(
    key: SmallFactor,
    public: PublicPart,
    words: int,
    *,
    source: narrow_gaussian.Source | None = None,
) -> Iterator[Words]:
    """The masks a_j s + e_j of ``words`` coefficients, chunk by chunk (flat)."""
    left = words
    for rows in public.chunks(words):
        mask = key.times(rows).reshape(-1)[:left]
        # A negative error wraps to 2^64 - |e|, which is what adding it means.
        mask += _errors(len(mask), source).astype(np.int64).view(np.uint64)
        left -= len(mask)
        yield mask


def unmasked(total: Words, key: SmallFactor, public: PublicPart) -> Iterator[Words]:
    """The coefficients of ``total`` (flat) less a_j times the summed key, chunk by chunk."""
    at = 0
    for rows in public.chunks(len(total)):
        part = total[at : at + rows.size]
        yield part - key.times(rows).reshape(-1)[: len(part)]
        at += len(part)


def _errors(size: int, source: narrow_gaussian.Source | None) -> NDArray[np.int8]:
    if source is None:
        return narrow_gaussian.sample(size)
    return narrow_gaussian.sample(size, source=source)
