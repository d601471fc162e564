"""Private statistics over organizations' measurements: in one process, or through a campaign.

In one process whoever runs this is a trusted curator: it sees the submissions in clear, and only
the summary is differentially private. Among organizations that do not trust a curator, give a
coordinator and a site's credentials: submissions go to a campaign, encrypted.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from federated.errors import Conflict, InvalidInput
from federated.sdk.benchmark_metrics import FAMILIES, Metric, finite, metrics_of
from federated.sdk.benchmark_release import plans_of, release, spend
from federated.wire.job import LARGEST_EPSILON

if TYPE_CHECKING:
    import httpx
    from diffprivlib import BudgetAccountant

    from federated.sdk.campaign import RemoteBenchmark

STATISTICS = ("mean", "median", "std")
SMALLEST_EPSILON = 1e-6
"""Below it noise is some million times as wide as the bounds: a summary would say nothing."""

_TENANT = re.compile(r"[a-z][a-z0-9_]{1,40}")


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
    exact. Values become integers within the bounds before anything is added; means and standard
    deviations take discrete Laplace noise, medians are chosen from at most 1,024 public points by
    the exponential mechanism (see ``federated.privacy.curator``). The points are equally spaced, or
    so in log(1 + x) where nobody gave the bounds. Pure epsilon, delta 0.

    With ``coordinator_url`` and ``credentials`` (the PEM that ``federated join`` wrote) submissions
    go to the active campaign for these metrics, or to ``campaign`` by its id; its spec sets bounds
    and statistics, and ``privacy_epsilon`` is the most that one of its runs may cost. A site
    submits for its own organization alone; an agent runs in this process until close() where
    none runs for these credentials. ``transport`` replaces the network (httpx).

    Until the first ``get_summary()`` a tenant that submits again replaces its values; after it
    submissions are refused (Conflict), since a second summary would cost a second epsilon.

    Raises InvalidInput for an epsilon that is not of 1e-6 to 10, an unknown metric or statistic,
    and bounds that are not ascending, beyond +-2^100, or less than 2^-100 or 2^24 spacings of
    floats apart (``federated.privacy.bounds.Bounds``).
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
        epsilon = finite(privacy_epsilon, "privacy_epsilon")
        if not 0 < epsilon <= LARGEST_EPSILON:
            raise InvalidInput(
                f"privacy_epsilon: {epsilon:g} is not above 0 and at most {LARGEST_EPSILON:g}"
            )
        if epsilon < SMALLEST_EPSILON:
            raise InvalidInput(
                f"privacy_epsilon: {epsilon:g} is too small; allowed are {SMALLEST_EPSILON:g} to "
                f"{LARGEST_EPSILON:g}"
            )
        metrics = _listed(metrics, "metrics", "metric")
        statistics = _listed(statistics, "statistics", "statistic")
        if bounds is not None and not isinstance(bounds, Mapping):
            raise InvalidInput("bounds: not a mapping of metric to a pair (lower, upper)")
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
        self.metrics = metrics_of(metrics, dict(bounds or {}))
        self._submissions: dict[str, dict[str, float]] = {}
        self._outcome: dict[str, dict[str, float]] | Exception | None = None
        self._budget: BudgetAccountant | None = None
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
        Conflict once a summary was begun, even where it failed.
        """
        if not isinstance(benchmark_results, Mapping):
            raise InvalidInput("benchmark_results: not a mapping of metric to number")
        if self._remote is not None:
            numbers = {
                str(key): finite(value, f"benchmark_results.{key}")
                for key, value in benchmark_results.items()
            }
            self._remote.submit(tenant_id, numbers)
            return
        if not isinstance(tenant_id, str) or not _TENANT.fullmatch(tenant_id):
            raise InvalidInput(
                f"tenant_id: {tenant_id!r} is not of lower-case letters, digits and _ "
                "(2 to 41, a letter first)"
            )
        keys = [metric.key for metric in self.metrics]
        unknown = [str(key) for key in benchmark_results if key not in keys]
        missing = [key for key in keys if key not in benchmark_results]
        if unknown or missing:
            fault = f"unknown {', '.join(unknown)}" if unknown else f"missing {', '.join(missing)}"
            raise InvalidInput(f"benchmark_results: {fault}; allowed: {', '.join(keys)}, all")
        values = {}
        for metric in self.metrics:
            value = finite(benchmark_results[metric.key], f"benchmark_results.{metric.key}")
            values[metric.key] = value
            bounds = metric.bounds
            if bounds is not None and bounds.clamp(value) != value:
                fate = "was clamped" if metric.given else "will be clamped unless more submit"
                warnings.warn(
                    f"{metric.key} of {tenant_id} is out of the public bounds "
                    f"{bounds.lower:g} to {bounds.upper:g} and {fate}",
                    UserWarning,
                    stacklevel=2,
                )
                if metric.given:
                    values[metric.key] = bounds.clamp(value)
        with self._lock:
            if self._outcome is not None:
                raise Conflict("the summary is out and its epsilon spent; start a new aggregator")
            self._submissions[tenant_id] = values

    def get_summary(self, timeout: float = 0.0) -> dict[str, dict[str, float]]:
        """``{metric: {"mean", "median", ..., "count"}}``, values in the metric's unit.

        ``mean_margin``: with probability 0.95 noise and rounding moved the mean by no more.
        ``lower``, ``upper``: the bounds that values were clamped to; ``bounds_epsilon``: what
        finding them spent, 0 for public ones.

        The whole epsilon is spent before the first draw. The outcome is kept, an error too, and
        every later call repeats it: asking again draws nothing. Raises Conflict without
        submissions or with too few for private bounds (nothing is spent, more may submit), and
        where private bounds were sought and not found.

        Of a campaign: its latest release, ``mean_lower`` to ``mean_upper`` being the 95% interval,
        ``run`` its number. Waits up to ``timeout`` seconds for the run submitted to. Raises
        NotFound before the first release.
        """
        if self._remote is not None:
            return self._remote.summary(timeout=timeout)
        with self._lock:
            if self._outcome is None:
                self._release()
            if isinstance(self._outcome, Exception):
                raise self._outcome.with_traceback(None)
            assert self._outcome is not None
            return {key: dict(values) for key, values in self._outcome.items()}

    def _release(self) -> None:
        """Spend the budget, then draw; whatever ends this after the charge is the outcome."""
        if not self._submissions:
            raise Conflict("no tenant has submitted; call submit() first")
        if len(self._submissions) == 1:
            warnings.warn(
                "one tenant alone: the summary is its own values under noise as wide as "
                "the bounds, it compares nobody",
                UserWarning,
                stacklevel=3,
            )
        plans = plans_of(
            self.metrics, self.statistics, self.privacy_epsilon, len(self._submissions)
        )
        self._budget = spend(plans, self.privacy_epsilon)
        # Stands where something that is no Exception (an interrupt) ends the draws.
        self._outcome = Conflict(
            "the release was interrupted and its epsilon is spent; start a new aggregator"
        )
        try:
            self._outcome = {
                plan.metric.key: release(
                    plan, [row[plan.metric.key] for row in self._submissions.values()]
                )
                for plan in plans
            }
        except Exception as error:
            self._outcome = error


def _listed(given: Sequence[str], option: str, one: str) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Collection) or not len(given):
        raise InvalidInput(f"{option}: not a list of at least one {one}")
    return tuple(given)


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
    if not all(isinstance(name, str) for name in names):
        raise InvalidInput("metrics: one is not a text")
    return RemoteBenchmark(
        keys=tuple(FAMILIES.get(name, (name, None))[0] for name in names),
        privacy_epsilon=epsilon,
        coordinator_url=url,
        credentials=credentials,
        campaign=campaign,
        transport=transport,
    )
