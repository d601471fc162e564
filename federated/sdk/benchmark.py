"""Private statistics over organizations' measurements: in one process, or through a campaign.

In one process whoever runs this is a trusted curator: it sees the submissions in clear, and only
the summary is differentially private. Among organizations that do not trust a curator, give a
coordinator and a site's credentials: submissions go to a campaign, encrypted.
"""

from __future__ import annotations

import math
import os
import re
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from federated.errors import Conflict, InvalidInput
from federated.privacy import private_bounds
from federated.wire.job import LARGEST_EPSILON

if TYPE_CHECKING:
    import httpx

    from federated.sdk.campaign import RemoteBenchmark

FAMILIES: dict[str, tuple[str, tuple[float, float]]] = {
    "latency": ("latency_ms", (0.0, 1_000.0)),
    "throughput": ("throughput_ops", (0.0, 100_000.0)),
    "energy": ("energy_j", (0.0, 10_000.0)),
}
"""Metric families: the key of their results, with its unit, and default public bounds."""
STATISTICS = ("mean", "median", "std")
BOUNDS_SHARE = 0.1
"""The part of a metric's epsilon that private bounds spend, where they are found."""

_TENANT = re.compile(r"[a-z][a-z0-9_]{1,40}")
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}")


@dataclass(frozen=True)
class Metric:
    """One measured quantity, in the unit that its key names, and its public bounds.

    ``given`` are bounds that somebody chose; a family's defaults may be replaced by private ones.
    """

    key: str
    bounds: tuple[float, float] | None
    given: bool


class BenchmarkAggregator:
    """Collects one submission a tenant and releases one differentially private summary.

    ``metrics`` are families (``latency``, ``throughput``, ``energy``) or keys of your own, which
    need ``bounds={key: (lower, upper)}``; ``bounds`` also replaces a family's. Bounds are public
    facts: taken from the data they would reveal it. Where none are given, and enough tenants
    submit, private bounds are found with a tenth of the metric's epsilon (see
    ``federated.privacy.private_bounds``); else a family's public defaults hold. A key of your own
    may ask for them: ``bounds={key: "private"}``.

    ``privacy_epsilon`` covers the summary as a whole and is split evenly over all metrics and
    statistics. Neighbours differ in one tenant's values; who takes part is public, so counts are
    exact. Means and standard deviations take Laplace noise, medians the exponential mechanism
    (diffprivlib; on the scale of log(1 + x) where nobody gave the bounds). Pure epsilon, delta 0.

    With ``coordinator_url`` and ``credentials`` (the PEM that ``federated join`` wrote) submissions
    go to the active campaign for these metrics, or to ``campaign`` by its id; its spec sets bounds
    and statistics, and ``privacy_epsilon`` is the most that one of its runs may cost. A site
    submits for its own organization alone; an agent runs in this process until close() where
    none runs for these credentials. ``transport`` replaces the network (httpx).

    Until the first ``get_summary()`` a tenant that submits again replaces its values; after it
    submissions are refused (Conflict), since a second summary would cost a second epsilon.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        privacy_epsilon: float,
        bounds: Mapping[str, tuple[float, float] | Literal["private"]] | None = None,
        statistics: Sequence[str] = ("mean", "median"),
        *,
        coordinator_url: str | None = None,
        credentials: str | os.PathLike[str] | None = None,
        campaign: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        epsilon = _finite(privacy_epsilon, "privacy_epsilon")
        if not 0 < epsilon <= LARGEST_EPSILON:
            raise InvalidInput(
                f"privacy_epsilon: {epsilon:g} is not above 0 and at most {LARGEST_EPSILON:g}"
            )
        unknown = [name for name in statistics if name not in STATISTICS]
        if unknown or not statistics or len(set(statistics)) != len(statistics):
            raise InvalidInput(
                f"statistics: {list(statistics)}; allowed, each once: {', '.join(STATISTICS)}"
            )
        self.privacy_epsilon = epsilon
        self.statistics = tuple(statistics)
        self._remote: RemoteBenchmark | None = None
        if coordinator_url is not None or credentials is not None:
            self._remote = _remote(
                metrics,
                epsilon,
                bounds,
                url=coordinator_url,
                credentials=credentials,
                campaign=campaign,
                transport=transport,
            )
            self.metrics: tuple[Metric, ...] = ()
            return
        self.metrics = _metrics(metrics, dict(bounds or {}))
        self._submissions: dict[str, dict[str, float]] = {}
        self._summary: dict[str, dict[str, float]] | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the agent and the connections of a campaign; nothing in one process."""
        if self._remote is not None:
            self._remote.close()

    def __enter__(self) -> BenchmarkAggregator:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def submit(self, tenant_id: str, benchmark_results: Mapping[str, float]) -> None:
        """Take one tenant's values, one number for every metric, in the key's unit.

        Values out of the public bounds are clamped, with a warning. Raises InvalidInput for an
        unknown or missing metric or a value that is not a finite number (and stores nothing),
        Conflict once the summary is out.
        """
        if self._remote is not None:
            self._remote.submit(
                tenant_id,
                {
                    str(key): _finite(value, f"benchmark_results.{key}")
                    for key, value in dict(benchmark_results).items()
                },
            )
            return
        if not isinstance(tenant_id, str) or not _TENANT.fullmatch(tenant_id):
            raise InvalidInput(
                f"tenant_id: {tenant_id!r} is not of lower-case letters, digits and _ "
                "(2 to 41, a letter first)"
            )
        if not isinstance(benchmark_results, Mapping):
            raise InvalidInput("benchmark_results: not a mapping of metric to number")
        keys = [metric.key for metric in self.metrics]
        unknown = [str(key) for key in benchmark_results if key not in keys]
        missing = [key for key in keys if key not in benchmark_results]
        if unknown or missing:
            fault = f"unknown {', '.join(unknown)}" if unknown else f"missing {', '.join(missing)}"
            raise InvalidInput(f"benchmark_results: {fault}; allowed: {', '.join(keys)}, all")
        values = {}
        for metric in self.metrics:
            value = _finite(benchmark_results[metric.key], f"benchmark_results.{metric.key}")
            values[metric.key] = value
            if metric.bounds is not None and not metric.bounds[0] <= value <= metric.bounds[1]:
                lower, upper = metric.bounds
                fate = "was clamped" if metric.given else "will be clamped unless more submit"
                warnings.warn(
                    f"{metric.key} of {tenant_id} is out of the public bounds "
                    f"{lower:g} to {upper:g} and {fate}",
                    UserWarning,
                    stacklevel=2,
                )
                if metric.given:
                    values[metric.key] = min(max(value, lower), upper)
        with self._lock:
            if self._summary is not None:
                raise Conflict("the summary is out and its epsilon spent; start a new aggregator")
            self._submissions[tenant_id] = values

    def get_summary(self, timeout: float = 0.0) -> dict[str, dict[str, float]]:
        """``{metric: {"mean", "median", ..., "count"}}``, values in the metric's unit.

        ``mean_margin``: with probability 0.95 the noise moved the mean by no more. ``lower``,
        ``upper``: the bounds that values were clamped to; ``bounds_epsilon``: what finding them
        spent, 0 for public ones. Computed once and kept, so that asking again spends nothing.
        Raises Conflict without submissions, or where a metric is left without bounds.

        Of a campaign: its latest release, ``mean_lower`` to ``mean_upper`` being the 95% interval,
        ``run`` its number. Waits up to ``timeout`` seconds for the run submitted to. Raises
        NotFound before the first release.
        """
        if self._remote is not None:
            return self._remote.summary(timeout=timeout)
        with self._lock:
            if self._summary is None:
                if not self._submissions:
                    raise Conflict("no tenant has submitted; call submit() first")
                if len(self._submissions) == 1:
                    warnings.warn(
                        "one tenant alone: the summary is its own values under noise as wide as "
                        "the bounds, it compares nobody",
                        UserWarning,
                        stacklevel=2,
                    )
                self._summary = {metric.key: self._release(metric) for metric in self.metrics}
            return {key: dict(values) for key, values in self._summary.items()}

    def _release(self, metric: Metric) -> dict[str, float]:
        from diffprivlib import BudgetAccountant, tools

        values = np.array([row[metric.key] for row in self._submissions.values()])
        share = self.privacy_epsilon / len(self.metrics)
        (lower, upper), spent = self._bounds(metric, values, share * BOUNDS_SHARE)
        values = np.clip(values, lower, upper)
        epsilon = (share - spent) / len(self.statistics)
        options: dict[str, Any] = {
            "epsilon": epsilon,
            "bounds": (lower, upper),
            "accountant": BudgetAccountant(),  # not the library's global one
        }
        mechanisms = {"mean": tools.mean, "median": tools.median, "std": tools.std}
        if not metric.given and lower >= 0:
            mechanisms["median"] = _log_median
        out = {name: float(mechanisms[name](values, **options)) for name in self.statistics}
        if "mean" in out:
            scale = (upper - lower) / (len(values) * epsilon)
            out["mean_margin"] = min(scale * math.log(20), upper - lower)
        out |= {"lower": lower, "upper": upper, "bounds_epsilon": spent}
        return out | {"count": len(values)}

    def _bounds(
        self, metric: Metric, values: NDArray[np.float64], part: float
    ) -> tuple[tuple[float, float], float]:
        """The bounds to clamp to, and the epsilon that finding them spent."""
        if metric.given and metric.bounds is not None:
            return metric.bounds, 0.0
        needed = private_bounds.numbers_needed(part)
        if len(values) < needed:
            if metric.bounds is not None:
                return metric.bounds, 0.0
            raise Conflict(
                f"{metric.key}: private bounds need {needed} tenants at this epsilon, "
                f"{len(values)} have submitted; give its public bounds"
            )
        found = private_bounds.find(values.tolist(), part) or metric.bounds
        if found is None:
            raise Conflict(
                f"{metric.key}: its values are spread too wide for private bounds; "
                "give its public bounds to a new aggregator"
            )
        return found, part


def _log_median(
    values: NDArray[np.float64], *, bounds: tuple[float, float], **options: Any
) -> float:
    """The median on the scale of log(1 + x), of values and bounds from 0 up.

    The exponential mechanism weighs the gaps between values by their width: under bounds that span
    orders of magnitude the empty gap above everybody outweighs few tenants. A monotone public
    scale changes neither what a median is nor what it costs.
    """
    from diffprivlib import tools

    lower, upper = bounds
    found = tools.median(np.log1p(values), bounds=(math.log1p(lower), math.log1p(upper)), **options)
    return min(max(math.expm1(float(found)), lower), upper)


def _remote(
    names: Sequence[str],
    epsilon: float,
    bounds: object,
    *,
    url: str | None,
    credentials: str | os.PathLike[str] | None,
    campaign: str | None,
    transport: httpx.BaseTransport | None,
) -> RemoteBenchmark:
    from federated.sdk.campaign import RemoteBenchmark

    if url is None or credentials is None:
        raise InvalidInput("coordinator_url and credentials go together: give both, or neither")
    if bounds is not None:
        raise InvalidInput("bounds: a campaign's are in its spec; leave them out")
    if isinstance(names, str) or not names:
        raise InvalidInput("metrics: not a list of at least one metric")
    return RemoteBenchmark(
        keys=tuple(FAMILIES.get(name, (name, None))[0] for name in names),
        privacy_epsilon=epsilon,
        coordinator_url=url,
        credentials=credentials,
        campaign=campaign,
        transport=transport,
    )


def _metrics(names: Sequence[str], bounds: dict[str, Any]) -> tuple[Metric, ...]:
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
        limits = bounds[given[0]] if given else default
        private = isinstance(limits, str) and limits == "private"
        if limits is None:
            raise InvalidInput(
                f"metrics: {name} is not one of {', '.join(FAMILIES)}; give its public bounds, "
                f'bounds={{"{name}": (lower, upper)}}, or "private" for many tenants'
            )
        used.update(given)
        out.append(Metric(key, None, False) if private else _metric(key, limits, bool(given)))
    if len({metric.key for metric in out}) != len(out):
        raise InvalidInput("metrics: one is listed twice")
    if set(bounds) - used:
        raise InvalidInput(f"bounds: no such metric: {', '.join(sorted(set(bounds) - used))}")
    return tuple(out)


def _metric(key: str, limits: tuple[float, float], given: bool) -> Metric:
    if not isinstance(limits, tuple | list) or len(limits) != 2:
        raise InvalidInput(f"bounds.{key}: not a pair (lower, upper)")
    lower, upper = (_finite(limit, f"bounds.{key}") for limit in limits)
    if not lower < upper:
        raise InvalidInput(f"bounds.{key}: lower {lower:g} is not below upper {upper:g}")
    return Metric(key, (lower, upper), given)


def _finite(value: object, name: str) -> float:
    # Numpy's scalars are numbers too; a bool is not a measurement.
    number = value.item() if isinstance(value, np.generic) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidInput(f"{name}: {type(value).__name__} is not a number")
    if not math.isfinite(number):
        raise InvalidInput(f"{name}: {number} is not a finite number")
    return float(number)
