"""A campaign's releases as rows, for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
from typing import Any

from apps.attempts.models import Attempt
from apps.benchmarks.models import Campaign

FORMATS = ("json", "csv")
COLUMNS = (
    *("run", "released_at", "metric", "unit", "better", "statistic", "value", "lower", "upper"),
    *("count", "illustrative", "epsilon", "noise"),
)


def export_rows(campaign: Campaign) -> list[dict[str, Any]]:
    """A row each run, metric and statistic, oldest first; ``lower`` to ``upper`` is the 95%
    interval, in the metric's unit."""
    rows = []
    for run in releases_of(campaign):
        release, spec = run.wire_release, run.wire
        assert release is not None
        for found in release.metrics:
            metric = spec.metric(found.key)
            assert metric is not None
            for name, estimate in found.statistics.items():
                rows.append(
                    {
                        "run": run.number,
                        "released_at": run.released_at.isoformat() if run.released_at else "",
                        "metric": found.key,
                        "unit": metric.unit,
                        "better": metric.better,
                        "statistic": name,
                        "value": estimate.value,
                        "lower": estimate.lower,
                        "upper": estimate.upper,
                        "count": release.count,
                        "illustrative": found.illustrative,
                        "epsilon": spec.noise.epsilon,
                        "noise": spec.noise.kind,
                    }
                )
    return rows


def releases_of(campaign: Campaign) -> list[Attempt]:
    """The released runs, oldest first, without what is large."""
    runs = campaign.attempts.filter(state=Attempt.State.RELEASED).select_related("agreement")
    return list(runs.defer("approvals", "product", "cohort").order_by("number"))


def export_csv(rows: list[dict[str, Any]]) -> str:
    """RFC 4180 with a header line. Names are from a fixed alphabet: no cell begins a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
