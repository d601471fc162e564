"""Aggregation of small vectors, packed into Paillier ciphertexts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from federated.aggregation.base import Sealed, Sink, Total, Vector
from federated.crypto import proofs
from federated.crypto.packing import SlotLayout
from federated.crypto.paillier import PublicKey
from federated.errors import InvalidInput


class PackedAggregator:
    """Vectors of ``dimension`` signed integers under ``public_key``, packed as ``layout`` says.

    InvalidInput when the layout is for a modulus of another length or the dimension is below 1.
    """

    def __init__(self, public_key: PublicKey, layout: SlotLayout, dimension: int) -> None:
        if layout.modulus_bits != public_key.bits:
            raise InvalidInput(
                f"the layout is for {layout.modulus_bits} bits, the key has {public_key.bits}"
            )
        if dimension < 1:
            raise InvalidInput(f"a vector of {dimension} values: at least 1 is needed")
        self.public_key = public_key
        self.layout = layout
        self._dimension = dimension

    @property
    def dimension(self) -> int:
        return self._dimension

    @property
    def ciphertexts_per_contribution(self) -> int:
        return self.layout.plaintexts(self._dimension)

    @property
    def masked_bytes(self) -> int:
        return 0

    def encrypt(
        self, vector: Vector, *, context: bytes, organization: str, sink: Sink | None = None
    ) -> Sealed:
        """Ciphertexts of ``vector`` (shape (dimension,), noise included) and their proof.

        Each call draws fresh randomness: store what it returns and resend those bytes, or two
        encryptions of one noisy vector go out. ``sink`` gets nothing. Raises InvalidInput for
        another shape or dtype.
        """
        values = vector if isinstance(vector, np.ndarray) else np.concatenate(list(vector))
        if values.shape != (self._dimension,) or values.dtype != np.int64:
            raise InvalidInput(
                f"vector has shape {values.shape} and type {values.dtype}: "
                f"({self._dimension},) and int64 are allowed"
            )
        plaintexts = self.layout.pack(values)
        encryptions = [self.public_key.encrypt(plaintext) for plaintext in plaintexts]
        proof = proofs.prove(
            self.public_key, plaintexts, encryptions, context=context, organization=organization
        )
        ciphertexts = [self.public_key.encode_ciphertext(e.ciphertext) for e in encryptions]
        return Sealed(tuple(ciphertexts), proof.encode(self.public_key))

    def verify(self, sealed: Sealed, *, context: bytes, organization: str) -> None:
        """Check one contribution before it may be summed.

        Raises InvalidInput for a wrong number of ciphertexts or an impossible one, ProofInvalid
        for a proof that is not for exactly these, by this organization, in this context.
        """
        if sealed.masked is not None:
            raise InvalidInput("a packed contribution has no masked vector beside it")
        values = self._decode_contribution(sealed.ciphertexts)
        decoded = proofs.PlaintextProof.decode(self.public_key, sealed.proof)
        proofs.verify(self.public_key, values, decoded, context=context, organization=organization)

    def combine(self, contributions: Sequence[Sequence[bytes]]) -> list[bytes]:
        """Position by position, the product of the contributions' ciphertexts.

        The product does not depend on their order. Raises InvalidInput for none, for more than the
        layout holds, or for a contribution of the wrong shape.
        """
        if not 1 <= len(contributions) <= self.layout.contributors:
            raise InvalidInput(
                f"{len(contributions)} contributions: 1 to {self.layout.contributors} are allowed"
            )
        rows = [self._decode_contribution(contribution) for contribution in contributions]
        return [
            self.public_key.encode_ciphertext(self.public_key.multiply(column))
            for column in zip(*rows, strict=True)
        ]

    def total(self) -> None:
        return None

    def decode(
        self,
        plaintexts: Sequence[int],
        contributors: int,
        *,
        context: bytes = b"",
        total: Total | None = None,
    ) -> NDArray[np.int64]:
        """The sum, shape (dimension,); a coordinate out of range wraps (SlotLayout.unpack)."""
        if total is not None:
            raise InvalidInput("packed contributions have no total of masked vectors")
        sums = self.layout.unpack(
            plaintexts, self._dimension, contributors=contributors, modulus=self.public_key.n
        )
        return np.array(sums, dtype=np.int64)

    def _decode_contribution(self, ciphertexts: Sequence[bytes]) -> list[int]:
        if len(ciphertexts) != self.ciphertexts_per_contribution:
            raise InvalidInput(
                f"contribution has {len(ciphertexts)} ciphertexts: "
                f"{self.ciphertexts_per_contribution} are allowed"
            )
        return [self.public_key.decode_ciphertext(ciphertext) for ciphertext in ciphertexts]
