"""The privacy bench on few runs: errors, coverage and seconds are measured, and drawn."""

from __future__ import annotations

import math

from tests.bench.frame import OURS, Row
from tests.bench.privacy import (
    CURATOR,
    IN_PROCESS,
    KINDS,
    LIMIT,
    TOOLS,
    comparison,
    errors,
    mean_ratios,
    plot,
    seconds,
)


def test_three_systems_are_measured_on_the_same_cohorts(tmp_path):
    rows = errors("linear", 2.0, 60, 3)
    found = {(row.system, row.metric): row.value for row in rows}
    for system in (OURS, CURATOR, TOOLS):
        for name in ("mean", "std", "median", "p10", "p25", "p75", "p90"):
            assert 0 <= found[system, f"{name} error"] < 1
    own = {name for system, name in found if system == IN_PROCESS}
    assert own == {"mean error", "std error", "median error"}
    covers = [row.value for row in rows if row.metric.endswith("interval covers")]
    assert len(covers) == 7 and all(0 <= value <= 1 for value in covers)
    plot(rows, tmp_path / "privacy.png")
    assert (tmp_path / "privacy.png").read_bytes().startswith(b"\x89PNG")


def test_the_printed_table_has_every_statistic_of_both_grids():
    rows = [row for kind in KINDS for row in errors(kind, 2.0, 200, 1)]
    assert comparison(rows).row_count == 14


def test_the_ratio_of_the_means_errors_is_taken_over_all_epsilons():
    rows = [
        Row(f"log grid, epsilon {epsilon}, 5 organizations", system, "mean error", value, "")
        for epsilon, ours in ((1, 4.0), (2, 9.0))
        for system, value in ((OURS, ours), (CURATOR, 1.0))
    ]
    assert mean_ratios(rows) == {"log grid, 5 organizations": math.exp(math.log(36) / 2)}
    assert math.isclose(LIMIT, math.sqrt(3) * 1.1)


def test_seconds_are_measured_for_every_step():
    rows = list(seconds((4,), 512))
    assert {row.unit for row in rows} == {"CPU s", "kB"}
    assert len(rows) == 7 and all(row.value > 0 for row in rows)
