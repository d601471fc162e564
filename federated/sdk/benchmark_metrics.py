"""The metrics of a benchmark in one process: their keys and public bounds; what a number is."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from federated.errors import InvalidInput
from federated.privacy.bounds import Bounds

FAMILIES: dict[str, tuple[str, tuple[float, float]]] = {
    "latency": ("latency_ms", (0.0, 1_000.0)),
    "throughput": ("throughput_ops", (0.0, 100_000.0)),
    "energy": ("energy_j", (0.0, 10_000.0)),
}
"""Metric families: the key of their results, with its unit, and default public bounds."""

_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True)
class Metric:
    """One measured quantity, in the unit that its key names, and its public bounds.

    ``given`` are bounds that somebody chose; a family's defaults may be replaced by private ones.
    """

    key: str
    bounds: Bounds | None
    given: bool


def metrics_of(names: Sequence[str], bounds: dict[str, Any]) -> tuple[Metric, ...]:
    """The metrics of these names, each once. Raises InvalidInput naming the metric and its fault.

    A metric that is of no family needs bounds: a pair of numbers, or ``"private"``.
    """
    if isinstance(names, str) or not names:
        raise InvalidInput("metrics: not a list of at least one metric")
    out = []
    used = set()
    for name in names:
        if not isinstance(name, str) or not _METRIC.fullmatch(name):
            raise InvalidInput(f"metrics: {name!r} is not a metric's name")
        key, default = FAMILIES.get(name, (name, None))
        if default is None:
            default = next((limits for own, limits in FAMILIES.values() if own == name), None)
        given = [label for label in {name, key} if label in bounds]
        if len(given) > 1:
            raise InvalidInput(f"bounds: {name} and {key} are one metric; give it one pair")
        limits = bounds[given[0]] if given else default
        private = isinstance(limits, str) and limits == "private"
        if limits is None:
            raise InvalidInput(
                f"metrics: {name} is not one of {', '.join(FAMILIES)}; give its public bounds, "
                f'bounds={{"{name}": (lower, upper)}}, or "private" for many tenants'
            )
        used.update(given)
        checked = None if private else _bounds(key, limits)
        out.append(Metric(key, checked, bool(given) and not private))
    if len({metric.key for metric in out}) != len(out):
        raise InvalidInput("metrics: one is listed twice")
    if set(bounds) - used:
        raise InvalidInput(
            f"bounds: no such metric: {', '.join(sorted(map(str, set(bounds) - used)))}"
        )
    return tuple(out)


def _bounds(key: str, limits: object) -> Bounds:
    if not isinstance(limits, tuple | list) or len(limits) != 2:
        raise InvalidInput(f"bounds.{key}: not a pair (lower, upper)")
    lower, upper = (finite(limit, f"bounds.{key}") for limit in limits)
    return Bounds(lower, upper, f"bounds.{key}")


def finite(value: object, name: str) -> float:
    """A whole or floating-point number, Python's or numpy's, as the float nearest to it.

    Raises InvalidInput for anything else (a bool, a Decimal, a Fraction, a text, a duration), for
    infinity and nan, and for a whole number beyond the largest float.
    """
    number = value
    if isinstance(value, np.number) and not isinstance(value, np.timedelta64):
        number = value.item()
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidInput(f"{name}: {type(value).__name__} is not a number")
    try:
        nearest = float(number)
    except OverflowError:
        raise InvalidInput(
            f"{name}: a whole number of {int(number).bit_length()} bits is beyond the largest "
            "float, 1.8e308"
        ) from None
    if not math.isfinite(nearest):
        raise InvalidInput(f"{name}: {nearest} is not a finite number")
    return nearest
