"""The interface of secure aggregators, independent of the encryption."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.int64] | Iterable[NDArray[np.int64]]
"""Signed integers, noise included: one array, or one-dimensional pieces of any lengths."""
Sink = Callable[[bytes], object]
"""Takes the masked vector's bytes as they are made, in order."""


@dataclass(frozen=True)
class Sealed:
    """An encrypted vector, as its contribution carries it.

    ``masked`` is the hex SHA-256 of the bytes that went to the sink; None where there are none.
    """

    ciphertexts: tuple[bytes, ...]
    proof: bytes
    masked: str | None = None


class Total(Protocol):
    """The running sum of masked vectors; its size does not depend on how many there are."""

    @property
    def count(self) -> int:
        """How many it holds."""

    def add(self, chunks: Iterable[bytes], digest: str | None) -> None:
        """Add one masked vector. InvalidInput unless its bytes have the right length and digest.

        None for bytes whose digest was checked when they were stored.
        """


class Aggregator(Protocol):
    """Sums integer vectors of one public length without showing any of them.

    A site calls encrypt; the coordinator and every trustee call verify and combine; t trustees
    decrypt what combine returns; everyone decodes. Where ``masked_bytes`` is not 0 a vector's
    bytes travel next to the ciphertexts, and whoever decodes adds them up in a total first.
    """

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def ciphertexts_per_contribution(self) -> int:
        """How many ciphertexts encrypt returns and verify expects."""

    @property
    def masked_bytes(self) -> int:
        """Length of the bytes that travel next to a contribution."""

    def encrypt(
        self, vector: Vector, *, context: bytes, organization: str, sink: Sink | None = None
    ) -> Sealed:
        """The sealed vector and its proof, bound to context and organization."""

    def verify(self, sealed: Sealed, *, context: bytes, organization: str) -> None:
        """InvalidInput or ProofInvalid unless encrypt could have returned this."""

    def combine(self, contributions: Sequence[Sequence[bytes]]) -> list[bytes]:
        """The ciphertexts of the sum of verified contributions."""

    def total(self) -> Total | None:
        """An empty total, or None where nothing is masked."""

    def decode(
        self, plaintexts: Sequence[int], contributors: int, *, context: bytes, total: Total | None
    ) -> NDArray[np.int64]:
        """The summed vector in decrypted plaintexts and, where masked, in the total."""


def pieces(vector: Vector) -> Iterable[NDArray[np.int64]]:
    """A vector's pieces."""
    return [vector] if isinstance(vector, np.ndarray) else vector
