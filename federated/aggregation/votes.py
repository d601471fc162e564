"""Codewords of a benchmark metric: one vote adds to all its sums at once.

A vote for grid point j is one signed integer P_j whose slots hold

    histogram   ``bins`` slots, all 0 but a ``WEIGHT`` in the bin of j
    values      u_j, the point scaled from the metric's bounds to [-UNIT, UNIT]
    squares     round(u_j^2 / UNIT) - UNIT / 2, in [-UNIT/2, UNIT/2]

as far as the metric's statistics need them. Centring halves what one organization can move a sum
by: membership is public, so the centre is given back exactly. Votes add by adding plaintexts;
negative sums borrow from the next slot until one offset, added after the sum, returns all borrows.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import pairwise

from federated.errors import InvalidInput
from federated.wire.campaign import Metric, grid_points

UNIT = 1 << 20
"""Half the width of a metric's bounds in integer units: a unit is 2^-21 of the range."""
GAUSSIAN_WEIGHT = 64
"""A vote's weight in its bin under Gaussian noise, so that a share is never below 3 units."""
_GAUSSIAN_TAIL = 9
# P(|X| > 64 b) = 1.6e-28 for a Laplace of parameter b.
_LAPLACE_TAIL = 64


@dataclass(frozen=True)
class Slot:
    """One sum: which it is, the most that one vote moves it by, and the noise of one share.

    ``scale`` is the parameter b of a discrete Laplace, or the parameter sigma of a discrete
    Gaussian share.
    """

    kind: str
    sensitivity: int
    scale: Fraction | float

    def tail(self, shares: int) -> int:
        """Return a bound that the noise of ``shares`` shares exceeds with chance below 1e-18."""
        if isinstance(self.scale, Fraction):
            return shares * math.ceil(_LAPLACE_TAIL * self.scale)
        return math.ceil(_GAUSSIAN_TAIL * self.scale * math.sqrt(shares))


@dataclass(frozen=True)
class VoteLayout:
    """The slots of one metric in one plaintext, for at most ``contributors`` votes and
    ``trustees`` noise shares. InvalidInput where they do not fit the key."""

    metric: Metric
    slots: tuple[Slot, ...]
    weight: int
    contributors: int
    trustees: int
    modulus_bits: int

    def __post_init__(self) -> None:
        needed = sum(self.widths)
        if needed > self.modulus_bits - 2:
            raise InvalidInput(
                f"metric {self.metric.key} needs {needed} bits of slots for "
                f"{self.contributors} organizations, the key has {self.modulus_bits - 2}; take "
                "fewer bins, more epsilon or fewer participants"
            )

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Bits of each slot: it holds every sum with its noise, signed."""
        return tuple(
            (2 * (self.contributors * slot.sensitivity + slot.tail(self.trustees))).bit_length()
            for slot in self.slots
        )

    @cached_property
    def points(self) -> tuple[tuple[int, ...], ...]:
        """For each grid point, the integer of each slot."""
        return tuple(self._vector(j) for j in range(self.metric.grid.points))

    @cached_property
    def codewords(self) -> tuple[int, ...]:
        """P_1..P_K, signed integers."""
        return tuple(self.pack(vector) for vector in self.points)

    def pack(self, values: Sequence[int]) -> int:
        """One signed integer from one signed integer a slot, to be taken modulo n."""
        if len(values) != len(self.slots):
            raise InvalidInput(f"{len(values)} values for {len(self.slots)} slots")
        plaintext, shift = 0, 0
        for value, width in zip(values, self.widths, strict=True):
            plaintext += value << shift
            shift += width
        return plaintext

    def unpack(self, plaintext: int, modulus: int) -> tuple[int, ...]:
        """The signed sum in each slot of a decrypted plaintext (modulo ``modulus``).

        A sum out of its slot's range wraps and changes its neighbour by the wraps; nothing raises,
        since an error that depends on data or noise would tell something about them.
        """
        signed = plaintext % modulus
        if signed > modulus // 2:
            signed -= modulus
        signed += self.pack([1 << (width - 1) for width in self.widths])
        values = []
        for width in self.widths:
            values.append((signed & ((1 << width) - 1)) - (1 << (width - 1)))
            signed >>= width
        return tuple(values)

    def _vector(self, point: int) -> tuple[int, ...]:
        metric = self.metric
        u = scaled(metric, point)
        size = metric.grid.points // metric.grid.bins
        wanted = {"values": u, "squares": squared(u)}
        vector, position = [], 0
        for slot in self.slots:
            if slot.kind == "histogram":
                vector.append(self.weight if point // size == position else 0)
                position += 1
            else:
                vector.append(wanted[slot.kind])
        return tuple(vector)


def scaled(metric: Metric, point: int) -> int:
    """u_j: a grid point on the integer scale of the bounds, -UNIT to UNIT, exactly rounded."""
    lower, upper = Fraction(metric.lower), Fraction(metric.upper)
    value = Fraction(grid_points(metric)[point])
    return round((2 * value - lower - upper) / (upper - lower) * UNIT)


def squared(u: int) -> int:
    """The square on the same scale, centred: round(u^2 / UNIT) - UNIT / 2."""
    return round(Fraction(u * u, UNIT)) - UNIT // 2


def nearest_point(metric: Metric, value: float) -> int:
    """The grid point that a measurement within the bounds is rounded to.

    Nearest in the metric's unit on a linear grid, nearest in ratio on a logarithmic one; a tie goes
    down.
    """
    return bisect_left(edges(metric), value)


@lru_cache(maxsize=256)
def edges(metric: Metric) -> tuple[float, ...]:
    """The K - 1 borders between neighbouring grid points, in the metric's unit."""
    points = grid_points(metric)
    pairs = pairwise(points)
    if metric.grid.kind == "log":
        return tuple(math.sqrt(a) * math.sqrt(b) for a, b in pairs)
    return tuple(a + (b - a) / 2 for a, b in pairs)
