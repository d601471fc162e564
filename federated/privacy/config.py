"""What a person asks of a job's privacy, checked before anything is computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

from federated.errors import InvalidInput
from federated.privacy.accountant import solve_noise_sigma
from federated.wire.job import LARGEST_EPSILON, PrivacySpec, Unit

LONGEST_REASON = 300
LARGEST_DELTA = 0.01
"""A mechanism that publishes one record in a hundred whole meets delta 0.01."""

USUAL_UNITS = 256
MOST_UNITS = 2**20


@dataclass(frozen=True, kw_only=True)
class PrivacyConfig:
    """The privacy target of one job.

    ``epsilon`` and ``delta`` are the target of the whole job (all its rounds) against the
    coordinator together with ``colluding`` sites. ``unit`` is whose influence is bounded: a
    record's gradient or an organization's whole update is clipped to ``clipping_norm`` (L2) and
    rounded to ``units`` grid steps a clipping norm. Neighbours differ in one record, or in one
    organization's update, present or blanked out. ``units`` defaults to the power of two that is
    at least 256 and sqrt(parameters); for unit organization 16 sqrt(parameters), so that rounding
    one update loses little.

    An epsilon above 10 needs ``allow_high_epsilon``: the reason, in words. The reason is part of
    the spec that all sites see, approve and log; a site's policy has to allow such jobs.

    ``mechanism="none"`` adds no noise, that is epsilon = infinity on the same rows; it needs
    ``allow_no_noise=True`` and is for synthetic data alone.

    Raises InvalidInput that names the field and what is allowed.
    """

    epsilon: float = 1.0
    delta: float = 1e-5
    mechanism: str = "gaussian"
    unit: str = "record"
    clipping_norm: float = 1.0
    colluding: int = 1
    units: int | None = None
    allow_no_noise: bool = False
    allow_high_epsilon: str = ""

    def __post_init__(self) -> None:
        self._check_mechanism()
        self._check_epsilon()
        delta = _number("delta", self.delta)
        if delta == 0:
            raise InvalidInput(
                "delta: a gaussian mechanism cannot give delta 0; "
                f"allowed: above 0, at most {LARGEST_DELTA:g}, and well below 1 / records"
            )
        if not 0 < delta < 1:
            raise InvalidInput(f"delta: {delta:g} is not a probability between 0 and 1")
        if delta > LARGEST_DELTA:
            raise InvalidInput(
                f"delta: {delta:g} allows that records are published whole; "
                f"allowed: above 0, at most {LARGEST_DELTA:g}"
            )
        if _number("clipping_norm", self.clipping_norm) <= 0:
            raise InvalidInput(f"clipping_norm: {self.clipping_norm:g} is not above 0")
        _whole("colluding", self.colluding, 1, 999)
        if self.units is not None:
            _whole("units", self.units, 1, MOST_UNITS)

    def _check_epsilon(self) -> None:
        epsilon = _number("epsilon", self.epsilon)
        if epsilon <= 0:
            raise InvalidInput(
                f"epsilon: {epsilon:g} is not above 0; "
                f"allowed: above 0, at most {LARGEST_EPSILON:g}"
            )
        reason = self.allow_high_epsilon
        if not isinstance(reason, str) or len(reason) > LONGEST_REASON:
            raise InvalidInput(
                f"allow_high_epsilon: must be the reason in words, at most {LONGEST_REASON} "
                "characters"
            )
        if epsilon <= LARGEST_EPSILON and reason:
            raise InvalidInput(
                f"allow_high_epsilon: epsilon {epsilon:g} is not above {LARGEST_EPSILON:g} and "
                "needs no reason"
            )
        if epsilon > LARGEST_EPSILON and not reason.strip():
            raise InvalidInput(
                f"epsilon: {epsilon:g} protects next to nothing (a record may change an outcome's "
                f"odds by {math.exp(min(epsilon, 700)):.3g}); allowed: above 0, at most "
                f'{LARGEST_EPSILON:g}, or with allow_high_epsilon="the reason", where every '
                "site's policy allows it too"
            )

    def _check_mechanism(self) -> None:
        if self.unit not in ("record", "organization"):
            raise InvalidInput(f"unit: {self.unit!r} is not known; allowed: record, organization")
        if self.mechanism == "laplace":
            raise InvalidInput(
                "mechanism: laplace needs the L1 norm, and a gradient of d parameters clipped to "
                "L2 norm C has one of up to sqrt(d) C; it serves benchmarks; allowed for "
                "training: gaussian"
            )
        if self.mechanism not in ("gaussian", "none"):
            raise InvalidInput(
                f"mechanism: {self.mechanism!r} is not known; allowed for training: gaussian"
            )
        if self.mechanism == "none" and not self.allow_no_noise:
            raise InvalidInput(
                "mechanism: none is epsilon = infinity and is refused on private data; "
                "allowed: gaussian (or allow_no_noise, for synthetic data)"
            )

    def spec(self, *, rounds: int, minimum_cohort: int, dimension: int) -> PrivacySpec:
        """The job's privacy on the wire, with the noise that meets the target.

        ``dimension`` is the model's number of parameters. The noise of one site is a standard
        deviation in grid units. Raises InvalidInput where fewer than two honest sites are left, or
        where the grid is so coarse that rounding to it leaves nothing.
        """
        units = self._units(dimension)
        least = math.ceil(math.sqrt(dimension))
        if units < least:
            # An evenly spread vector of norm C has entries of units / sqrt(d) < 1 grid steps; they
            # round to 0, or to 1 and are then too long together and truncated.
            raise InvalidInput(
                f"units: on a grid of {units} steps a clipped vector of {dimension} "
                f"parameters may round to zero; at least {least} are needed"
            )
        if self.mechanism == "none":
            sigma, epsilon, delta = 0.0, None, None
        else:
            epsilon, delta = float(self.epsilon), float(self.delta)
            honest = minimum_cohort - self.colluding
            if honest < 2:
                raise InvalidInput(
                    f"colluding: {self.colluding} of {minimum_cohort} sites leaves {honest} "
                    "honest; at least 2 must be left"
                )
            sigma = solve_noise_sigma(
                epsilon=epsilon,
                delta=delta,
                rounds=rounds,
                sensitivity=float(units),
                honest=honest,
                dimension=dimension,
            )
        return PrivacySpec(
            unit=cast(Unit, self.unit),
            mechanism=cast(Literal["gaussian", "none"], self.mechanism),
            epsilon=epsilon,
            delta=delta,
            clipping_norm=float(self.clipping_norm),
            units=units,
            colluding=self.colluding,
            noise_sigma=sigma,
            high_epsilon_reason=self.allow_high_epsilon.strip() or None,
        )

    def _units(self, dimension: int) -> int:
        if self.units is not None:
            return self.units
        # A site sums many rounded records, whose errors cancel; an update is rounded alone.
        steps = 16 if self.unit == "organization" else 1
        wanted = steps * math.ceil(math.sqrt(dimension))
        return min(MOST_UNITS, max(USUAL_UNITS, 1 << (wanted - 1).bit_length()))


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput(f"{name}: {value!r} is not a finite number")
    return float(value)


def _whole(name: str, value: object, lowest: int, highest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise InvalidInput(f"{name}: {value!r} is not a whole number of {lowest} to {highest}")
