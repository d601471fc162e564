"""Aggregation of long vectors: masked, with the mask's key in Paillier ciphertexts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from federated.aggregation.base import Sealed, Sink, Total, Vector, pieces
from federated.aggregation.packed import PackedAggregator
from federated.crypto import masking
from federated.crypto.masking import WORD_BYTES, MaskLayout, PublicPart
from federated.crypto.negacyclic import DEGREE, SmallFactor, Words
from federated.crypto.paillier import PublicKey
from federated.errors import InvalidInput


class MaskedTotal:
    """The running sum, modulo 2^64, of masked vectors of ``words`` little-endian words."""

    def __init__(self, words: int) -> None:
        self.words: Words = np.zeros(words, dtype=np.uint64)
        self._count = 0
        self._whole = True

    @property
    def count(self) -> int:
        return self._count

    @classmethod
    def of(cls, words: int, chunks: Iterable[bytes], count: int) -> MaskedTotal:
        """The sum of ``count`` vectors that was added up elsewhere, read in pieces."""
        total = cls(words)
        total.add(chunks, None)
        total._count = count
        return total

    def add(self, chunks: Iterable[bytes], digest: str | None) -> None:
        """Add one masked vector, read once and in pieces of any lengths.

        With None only its length is checked: hashing takes ten times as long as adding, and a
        coordinator has hashed what it stored. Raises InvalidInput where its length or SHA-256 is
        not what the signed contribution says; the total then holds a part of it and refuses all
        further use.
        """
        if not self._whole:
            raise InvalidInput("this total broke off within a masked vector: start it anew")
        self._whole = False
        seen, at, rest = hashlib.sha256(), 0, b""
        for chunk in chunks:
            if digest is not None:
                seen.update(chunk)
            data = rest + chunk if rest else chunk
            count = len(data) // WORD_BYTES
            if at + count > len(self.words):
                raise InvalidInput(f"masked vector is longer than {self.words.nbytes} bytes")
            self.words[at : at + count] += np.frombuffer(data, dtype="<u8", count=count)
            at, rest = at + count, bytes(data[count * WORD_BYTES :])
        if at != len(self.words) or rest:
            length = at * WORD_BYTES + len(rest)
            raise InvalidInput(f"masked vector has {length} bytes, not {self.words.nbytes}")
        if digest is not None and seen.hexdigest() != digest:
            raise InvalidInput(
                f"masked vector has digest {seen.hexdigest()[:16]}, "
                f"its contribution says {digest[:16]}"
            )
        self._count += 1
        self._whole = True

    def summed(self, contributors: int) -> Words:
        """The sum. InvalidInput unless it is of exactly that many whole vectors."""
        if not self._whole or self._count != contributors:
            raise InvalidInput(
                f"the total is of {self._count} masked vectors, the key's sum of {contributors}"
            )
        return self.words


class MaskedAggregator:
    """Vectors of ``dimension`` signed integers, laid out by ``layout``, under ``public_key``.

    A contribution is a masked vector of ``masked_bytes`` bytes and some 15 to 23 ciphertexts of
    its mask key. Both are streamed: beside its vector and its sink a site needs a few megabytes,
    and a total takes 8 bytes a coefficient. InvalidInput for a dimension below 1.
    """

    def __init__(self, public_key: PublicKey, layout: MaskLayout, dimension: int) -> None:
        if dimension < 1:
            raise InvalidInput(f"a vector of {dimension} values: at least 1 is needed")
        self.layout = layout
        self._dimension = dimension
        self._keys = PackedAggregator(
            public_key, masking.key_layout(layout.contributors, public_key.bits), DEGREE
        )

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def ciphertexts_per_contribution(self) -> int:
        return self._keys.ciphertexts_per_contribution

    @property
    def masked_bytes(self) -> int:
        return self.layout.words(self._dimension) * WORD_BYTES

    def encrypt(
        self, vector: Vector, *, context: bytes, organization: str, sink: Sink | None = None
    ) -> Sealed:
        """Mask ``vector`` into ``sink``; its key's ciphertexts, their proof and a digest.

        Each call draws a fresh key and fresh errors: store what it returns and wrote, and resend
        those bytes. A second vector under one key would give their difference away, which is why
        no caller can pass a key. Raises InvalidInput for another length or type, or no sink.
        """
        if sink is None:
            raise InvalidInput("a masked vector needs a sink for its bytes")
        key = masking.fresh_key()
        masks = masking.masks(
            SmallFactor(key), PublicPart(context), self.layout.words(self._dimension)
        )
        digest = hashlib.sha256()
        words = self._encoded(vector)
        for mask in masks:
            data = (mask + next(words)).astype("<u8", copy=False).tobytes()
            digest.update(data)
            sink(data)
        masked = digest.hexdigest()
        keys = self._keys.encrypt(key, context=_bind(context, masked), organization=organization)
        return Sealed(keys.ciphertexts, keys.proof, masked)

    def _encoded(self, vector: Vector) -> Iterator[Words]:
        """Encoded coefficients, in chunks as long as the masks'. InvalidInput as encrypt says."""
        size = masking.CHUNK_BLOCKS * DEGREE * self.layout.values_per_word
        buffer = np.empty(size, dtype=np.int64)
        filled = seen = 0
        for piece in pieces(vector):
            if piece.ndim != 1 or piece.dtype != np.int64:
                raise InvalidInput(
                    f"vector has shape {piece.shape} and type {piece.dtype}: "
                    f"({self._dimension},) and int64 are allowed"
                )
            seen += len(piece)
            if seen > self._dimension:
                break
            at = 0
            while at < len(piece):
                take = min(size - filled, len(piece) - at)
                buffer[filled : filled + take] = piece[at : at + take]
                filled, at = filled + take, at + take
                if filled == size:
                    yield self.layout.encode(buffer)
                    filled = 0
        if seen != self._dimension:
            more = " or more" if seen > self._dimension else ""
            raise InvalidInput(f"vector has {seen}{more} values: {self._dimension} are allowed")
        if filled:
            yield self.layout.encode(buffer[:filled])

    def verify(self, sealed: Sealed, *, context: bytes, organization: str) -> None:
        """Check the ciphertexts, their proof and that it binds the masked vector's digest.

        The masked bytes themselves are checked where they are read, by MaskedTotal.add. Raises
        InvalidInput or ProofInvalid.
        """
        if sealed.masked is None:
            raise InvalidInput("a masked contribution names the digest of its masked vector")
        keys = Sealed(sealed.ciphertexts, sealed.proof)
        self._keys.verify(keys, context=_bind(context, sealed.masked), organization=organization)

    def combine(self, contributions: Sequence[Sequence[bytes]]) -> list[bytes]:
        """The ciphertexts of the sum of the mask keys; see PackedAggregator.combine."""
        return self._keys.combine(contributions)

    def total(self) -> MaskedTotal:
        return MaskedTotal(self.layout.words(self._dimension))

    def decode(
        self, plaintexts: Sequence[int], contributors: int, *, context: bytes, total: Total | None
    ) -> NDArray[np.int64]:
        """The sum, shape (dimension,); a coordinate out of range wraps (MaskLayout.decode).

        Raises MaskKeyInvalid for a sum of keys that no keys in range have, InvalidInput for a
        total of another number of vectors.
        """
        if not isinstance(total, MaskedTotal):
            raise InvalidInput("masked contributions are decoded with their total")
        words = total.summed(contributors)
        key = self._keys.decode(plaintexts, contributors)
        masking.check_key_sum(key, contributors)
        values = np.empty(self._dimension, dtype=np.int64)
        at = 0
        for part in masking.unmasked(words, SmallFactor(key), PublicPart(context)):
            count = min(len(part) * self.layout.values_per_word, self._dimension - at)
            values[at : at + count] = self.layout.decode(part, count)
            at += count
        return values


def _bind(context: bytes, masked: str) -> bytes:
    """Returns what the proof is bound to: the attempt and the bytes that the key masks."""
    return context + bytes.fromhex(masked)
