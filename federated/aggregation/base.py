"""What every secure aggregator does, whatever it encrypts with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Aggregator(Protocol):
    """Sums integer vectors of one public length without showing any of them.

    A site calls encrypt; the coordinator and every trustee call verify and combine; t trustees
    decrypt what combine returns; everyone decodes.
    """

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def ciphertexts_per_contribution(self) -> int:
        """How many ciphertexts encrypt returns and verify expects."""

    def encrypt(
        self, vector: NDArray[np.int64], *, context: bytes, organization: str
    ) -> tuple[list[bytes], bytes]:
        """Ciphertexts and one proof for them, bound to context and organization."""

    def verify(
        self, ciphertexts: Sequence[bytes], proof: bytes, *, context: bytes, organization: str
    ) -> None:
        """InvalidInput or ProofInvalid unless encrypt could have returned these."""

    def combine(self, contributions: Sequence[Sequence[bytes]]) -> list[bytes]:
        """The ciphertexts of the sum of verified contributions."""

    def decode(self, plaintexts: Sequence[int], contributors: int) -> NDArray[np.int64]:
        """The summed vector in decrypted plaintexts."""
