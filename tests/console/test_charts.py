"""The charts' geometry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.console.shared.charts import WIDTH, nice_step, stack, step_chart, time_chart

VALUES = st.floats(min_value=0, max_value=1e9, allow_nan=False)


def test_parts_lie_side_by_side_in_proportion() -> None:
    first, second = stack([("committed", 2.0, 1), ("reserved", 1.0, 2)], 8.0)
    assert (first.x, first.width) == (0.0, 250.0)
    assert (second.x, second.width) == (250.0, 125.0)


def test_nothing_is_drawn_of_an_empty_or_unbounded_whole() -> None:
    assert stack([("committed", 2.0, 1)], 0.0) == []
    assert stack([("committed", 0.0, 1), ("reserved", -1.0, 2)], 8.0) == []


@given(parts=st.lists(VALUES, max_size=6), whole=VALUES)
def test_a_bar_never_runs_over_its_end(parts: list[float], whole: float) -> None:
    segments = stack([("part", value, 1) for value in parts], whole)
    assert all(segment.width >= 0 for segment in segments)
    assert sum(segment.width for segment in segments) <= WIDTH + 0.01 * len(segments)


def test_steps_rise_to_each_value_and_go_on_to_its_round() -> None:
    chart = step_chart([("coordinator", [0.5, 1.0], 1)], rounds=4, target=1.0)
    assert chart is not None
    middle = (chart.top + chart.bottom) / 2
    quarter = chart.left + (chart.right - chart.left) / 4
    start, first = chart.series[0].path.split("V")[:2]
    assert start == f"M{chart.left} {chart.bottom}"
    assert first == f"{middle}H{quarter}"
    assert chart.target == chart.top
    assert [tick.label for tick in chart.y_ticks] == ["0", "0.5", "1"]


def test_no_chart_before_the_first_round() -> None:
    assert step_chart([("coordinator", [], 1)], rounds=4, target=1.0) is None


def test_many_rounds_get_few_labels() -> None:
    chart = step_chart([("coordinator", [1.0], 1)], rounds=1000)
    assert chart is not None
    assert len(chart.x_ticks) <= 11


@pytest.mark.parametrize(
    ("highest", "step"), [(1.0, 0.5), (0.9, 0.5), (4.0, 1.0), (7.0, 2.0), (0.04, 0.01), (0, 1.0)]
)
def test_grid_lines_are_round_numbers(highest: float, step: float) -> None:
    assert nice_step(highest) == pytest.approx(step)


YEAR = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 2, 12, tzinfo=UTC)


def test_a_step_over_time_stands_where_its_moment_lies() -> None:
    chart = time_chart([("zCDP", [(JULY, 2.0)], 1)], start=YEAR[0], end=YEAR[1], now=JULY, target=4)
    assert chart is not None
    middle = (chart.left + chart.right) / 2
    half = (chart.top + chart.bottom) / 2
    assert chart.series[0].path == f"M{chart.left} {chart.bottom}H{middle}V{half}H{middle}"
    assert chart.target == chart.top
    assert chart.x_ticks[0].label == "Jan 1"


def test_moments_outside_of_the_period_stand_at_its_edges() -> None:
    early, late = YEAR[0] - timedelta(days=9), YEAR[1] + timedelta(days=9)
    points = [(early, 1.0), (late, 2.0)]
    chart = time_chart([("zCDP", points, 1)], start=YEAR[0], end=YEAR[1], now=late)
    assert chart is not None
    assert f"H{chart.left}V" in chart.series[0].path
    assert chart.series[0].path.endswith(f"H{chart.right}")


def test_nothing_over_time_is_no_chart() -> None:
    assert time_chart([("zCDP", [], 1)], start=YEAR[0], end=YEAR[1], now=JULY) is None
    assert time_chart([("zCDP", [(JULY, 1.0)], 1)], start=JULY, end=JULY, now=JULY) is None
