"""Many signed integers in one plaintext, so that one addition of ciphertexts adds them all.

Values stay signed while they are summed: a plaintext is sum(v_j * 2**(w j)) modulo n, and a
negative slot borrows from its neighbour. One offset of 2**(w-1) a slot, added after the sum,
gives every borrow back; it does not depend on how many contributed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput

# How many standard deviations of the summed noise a slot holds: a tail of 2e-19.
TAIL = 9
# A sum has to fit a signed 64-bit integer.
MAX_SLOT_BITS = 64


@dataclass(frozen=True)
class SlotLayout:
    """The width of a slot and how many fit, from public numbers of the job alone.

    contributors  the most organizations that one sum may hold (N)
    clamp         the largest absolute value of one organization's coordinate before noise (S)
    sigma         standard deviation of one organization's noise share, in grid units; 0 for none
    modulus_bits  bits of the Paillier modulus

    The bound of a sum is B = N S + 9 sigma sqrt(N), and a slot has ceil(log2(2B + 1)) bits.
    Raises InvalidInput for numbers out of range or when a slot would exceed 64 bits or the key.
    """

    contributors: int
    clamp: int
    sigma: float
    modulus_bits: int

    def __post_init__(self) -> None:
        if self.contributors < 1 or self.clamp < 1:
            raise InvalidInput("a slot layout needs contributors and clamp of at least 1")
        if not (math.isfinite(self.sigma) and self.sigma >= 0):
            raise InvalidInput("a slot layout needs a finite sigma of at least 0")
        limit = min(MAX_SLOT_BITS, self.modulus_bits - 2)
        if self.slot_bits > limit:
            raise InvalidInput(
                f"a sum of {self.contributors} values up to {self.clamp} with noise {self.sigma:g} "
                f"needs {self.slot_bits} bits a slot: {limit} are allowed"
            )

    @property
    def bound(self) -> int:
        """B: sums lie within [-B, B] except for noise beyond nine standard deviations."""
        return self.contributors * self.clamp + math.ceil(
            TAIL * self.sigma * math.sqrt(self.contributors)
        )

    @property
    def slot_bits(self) -> int:
        return (2 * self.bound).bit_length()

    @property
    def slots(self) -> int:
        """Slots a plaintext; two bits of the modulus stay free, for the sign."""
        return (self.modulus_bits - 2) // self.slot_bits

    def plaintexts(self, count: int) -> int:
        """Return how many plaintexts ``count`` values take."""
        return -(-count // self.slots)

    def pack(self, values: Sequence[int] | NDArray[np.int64]) -> list[int]:
        """Signed plaintexts, to be taken modulo n, for a vector of signed integers.

        A value that is too large is not refused, since a refusal would tell something about it: it
        spills into its neighbour as a sum does (see unpack).
        """
        integers: list[int] = values.tolist() if isinstance(values, np.ndarray) else list(values)
        return [
            self._pack_one(integers[at : at + self.slots])
            for at in range(0, len(integers), self.slots)
        ]

    def _pack_one(self, values: Sequence[int]) -> int:
        plaintext, bits = 0, self.slot_bits
        for value in reversed(values):
            plaintext = (plaintext << bits) + value
        return plaintext

    def unpack(
        self, sums: Sequence[int], count: int, *, contributors: int, modulus: int
    ) -> list[int]:
        """The ``count`` sums of signed values inside decrypted plaintext sums (modulo ``modulus``).

        A sum s outside [-2**(w-1), 2**(w-1)) comes out as s wrapped modulo 2**w into that range,
        and its next slot is off by the number of wraps; the last slot's overflow is lost. Past
        half the modulus the whole plaintext wraps modulo n and its slots mean nothing. None of
        this raises: an error that depends on the data would be a channel.

        Raises InvalidInput only for public numbers: a wrong number of plaintexts, more
        contributors than the layout was made for, or a modulus of another length.
        """
        if len(sums) != self.plaintexts(count):
            raise InvalidInput(
                f"{count} values take {self.plaintexts(count)} plaintexts, not {len(sums)}"
            )
        if not 1 <= contributors <= self.contributors:
            raise InvalidInput(
                f"{contributors} contributors: 1 to {self.contributors} are allowed by the layout"
            )
        if modulus.bit_length() != self.modulus_bits:
            raise InvalidInput(f"the layout is for a modulus of {self.modulus_bits} bits")
        values: list[int] = []
        for plaintext in sums:
            values += self._unpack_one(plaintext, min(self.slots, count - len(values)), modulus)
        return values

    def _unpack_one(self, plaintext: int, count: int, modulus: int) -> list[int]:
        half = 1 << (self.slot_bits - 1)
        mask = (1 << self.slot_bits) - 1
        signed = plaintext % modulus
        if signed > modulus // 2:
            signed -= modulus
        signed += _offset(half, self.slot_bits, count)
        return [((signed >> (self.slot_bits * j)) & mask) - half for j in range(count)]


def _offset(half: int, slot_bits: int, count: int) -> int:
    """half * sum(2**(slot_bits j)) for j < count."""
    return half * (((1 << (slot_bits * count)) - 1) // ((1 << slot_bits) - 1))
