"""Codewords and slots: whatever is voted and however large the noise, sums come out as they are."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.aggregation.votes import UNIT, Slot, VoteLayout, edges, nearest_point, scaled
from federated.errors import InvalidInput
from federated.wire.campaign import Metric, grid_points

MODULUS = (1 << 1023) + 1155


def metric(**changes) -> Metric:
    body = {
        "key": "latency_ms",
        "unit": "ms",
        "lower": 1.0,
        "upper": 1000.0,
        "grid": {"kind": "log", "points": 16, "bins": 4},
        "statistics": ["mean", "std", "median"],
        "split": {"values": 0.2, "squares": 0.1, "histogram": 0.3},
        **changes,
    }
    return Metric.parse(body)


def layout_of(one: Metric, *, contributors=20, trustees=5, weight=1, sigma=None) -> VoteLayout:
    slots = []
    for kind, sensitivity in (("histogram", weight), ("values", UNIT), ("squares", UNIT // 2)):
        part = getattr(one.split, kind)
        if part:
            scale = sensitivity / Fraction(part) if sigma is None else sigma * sensitivity
            slots += [Slot(kind, sensitivity, scale)] * (
                one.grid.bins if kind == "histogram" else 1
            )
    return VoteLayout(one, tuple(slots), weight, contributors, trustees, MODULUS.bit_length())


METRICS = st.builds(
    lambda lower, width, kind, bins, per, split: metric(
        lower=lower,
        upper=lower + width,
        grid={"kind": kind, "points": bins * per, "bins": bins},
        split=dict(zip(("values", "squares", "histogram"), split, strict=True)),
    ),
    lower=st.floats(0.01, 1e6),
    width=st.floats(1.0, 1e6),
    kind=st.sampled_from(["linear", "log"]),
    bins=st.integers(2, 8),
    per=st.integers(1, 8),
    split=st.tuples(*[st.floats(0.01, 5.0)] * 3),
)


@given(one=METRICS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_votes_and_noise_add_up_in_their_slots(one, data):
    layout = layout_of(one)
    votes = data.draw(st.lists(st.integers(0, one.grid.points - 1), min_size=1, max_size=20))
    noise = [
        data.draw(
            st.lists(
                st.integers(-(tail := math.ceil(64 * slot.scale)), tail), min_size=1, max_size=5
            )
        )
        for slot in layout.slots
    ]
    shares = max(map(len, noise))
    padded = [[*row, *[0] * (shares - len(row))] for row in noise]
    plaintext = sum(layout.codewords[vote] for vote in votes)
    plaintext += sum(layout.pack(column) for column in zip(*padded, strict=True))
    expected = [
        sum(column) + sum(row)
        for column, row in zip(
            zip(*(layout.points[vote] for vote in votes), strict=True), noise, strict=True
        )
    ]
    assert list(layout.unpack(plaintext % MODULUS, MODULUS)) == expected


@given(one=METRICS)
@settings(max_examples=40, deadline=None)
def test_one_vote_moves_every_sum_by_its_sensitivity_at_most(one):
    layout = layout_of(one)
    bins = one.grid.bins
    for vector in layout.points:
        histogram, rest = vector[:bins], vector[bins:]
        assert sorted(histogram) == [0] * (bins - 1) + [1]  # L1 sensitivity 1 of all bins together
        for value, slot in zip(rest, layout.slots[bins:], strict=True):
            assert abs(value) <= slot.sensitivity
    ends = [vector[bins] for vector in layout.points]
    assert (ends[0], ends[-1]) == (-UNIT, UNIT)
    assert ends == sorted(ends)


@given(one=METRICS, part=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_measurement_is_rounded_to_the_nearest_point(one, part):
    value = min(one.lower + part * (one.upper - one.lower), one.upper)
    points = grid_points(one)
    chosen = points[nearest_point(one, value)]
    if one.grid.kind == "log":
        assert max(chosen / value, value / chosen) <= min(
            max(p / value, value / p) for p in points
        ) * (1 + 1e-9)
    else:
        gap = (one.upper - one.lower) * 1e-9
        assert abs(chosen - value) <= min(abs(p - value) for p in points) + gap
    assert (points[0], points[-1]) == (one.lower, one.upper)


def test_a_sum_out_of_range_wraps_and_raises_nothing():
    layout = layout_of(metric())
    huge = [1 << (width + 3) for width in layout.widths]
    assert len(layout.unpack(layout.pack(huge) % MODULUS, MODULUS)) == len(layout.slots)


def test_the_grid_is_the_same_decimals_everywhere():
    points = grid_points(metric(grid={"kind": "log", "points": 4, "bins": 2}))
    assert points == (1.0, 10.0, 100.0, 1000.0)
    assert edges(metric(grid={"kind": "log", "points": 4, "bins": 2})) == pytest.approx(
        (10**0.5, 10**1.5, 10**2.5), rel=1e-15
    )
    third = grid_points(metric(grid={"kind": "linear", "points": 4, "bins": 2}))
    assert third == (1.0, 334.0, 667.0, 1000.0)
    assert scaled(metric(grid={"kind": "linear", "points": 4, "bins": 2}), 1) == round(-UNIT / 3)


def test_what_does_not_fit_the_key_is_refused():
    with pytest.raises(InvalidInput, match="latency_ms needs"):
        VoteLayout(metric(), layout_of(metric()).slots, 1, 1000, 5, 60)
    with pytest.raises(InvalidInput, match="3 values for 6 slots"):
        layout_of(metric()).pack([1, 2, 3])
