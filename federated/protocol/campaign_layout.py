"""How a metric's vote is laid out in slots, and what Gaussian noise over the slots costs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache

from federated.aggregation.votes import GAUSSIAN_WEIGHT, UNIT, Slot, VoteLayout
from federated.privacy import accountant
from federated.wire.campaign import Metric


@lru_cache(maxsize=256)
def vote_layout(
    metric: Metric, *, kind: str, honest: int, contributors: int, trustees: int, bits: int
) -> VoteLayout:
    """The slots of a metric's vote under that kind of noise, for a modulus of ``bits``.

    ``honest`` trustees' shares are counted, of ``trustees`` that may add one. Raises InvalidInput
    where the slots do not fit.
    """
    weight = GAUSSIAN_WEIGHT if kind == "gaussian" else 1
    sensitivity = {"histogram": weight, "values": UNIT, "squares": UNIT // 2}
    slots: list[Slot] = []
    for name in ("histogram", "values", "squares"):
        part = getattr(metric.split, name)
        if part == 0:
            continue
        scale = _scale(kind, sensitivity[name], part, honest)
        repeat = metric.grid.bins if name == "histogram" else 1
        slots += [Slot(name, sensitivity[name], scale)] * repeat
    return VoteLayout(metric, tuple(slots), weight, contributors, trustees, bits)


def _scale(kind: str, sensitivity: int, part: float, honest: int) -> Fraction | float:
    """The noise of one share: b = D / epsilon, or sigma = D / sqrt(2 rho h) rounded up."""
    if kind == "laplace":
        return sensitivity / Fraction(part)
    sigma = sensitivity / math.sqrt(2 * part * honest)
    digits = 6 - math.ceil(math.log10(sigma))
    return float(math.ceil(sigma * 10.0**digits) / 10.0**digits)


def gaussian_rho(layouts: Iterable[VoteLayout], *, honest: int) -> float:
    """zCDP of all metrics and sums together, with t - f honest shares (arXiv 2102.06387)."""
    parts = []
    for layout in layouts:
        for slot in dict.fromkeys(layout.slots):
            parts.append(
                accountant.round_rho(
                    noise_sigma=float(slot.scale),
                    sensitivity=slot.sensitivity,
                    honest=honest,
                    dimension=layout.metric.grid.bins if slot.kind == "histogram" else 1,
                )
            )
    return math.fsum(parts)
