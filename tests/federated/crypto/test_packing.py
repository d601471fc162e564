import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.crypto.packing import SlotLayout
from federated.errors import InvalidInput
from tests.federated.crypto.small_key import small_key

N = small_key().dealt.public_key.n


def layout_of(contributors=4, clamp=100, sigma=3.0, modulus_bits=1024):
    return SlotLayout(contributors, clamp, sigma, modulus_bits)


def wrapped(value, bits):
    half = 1 << (bits - 1)
    return (value + half) % (1 << bits) - half


@st.composite
def cohorts(draw):
    contributors = draw(st.integers(1, 20))
    clamp = draw(st.integers(1, 2**40))
    sigma = draw(st.sampled_from([0.0, 3.0, 1234.5]))
    layout = SlotLayout(contributors, clamp, sigma, 1024)
    # A site's value is its clamped coordinate and its part of what noise the bound allows for.
    reach = layout.bound // contributors
    count = draw(st.integers(1, 3 * layout.slots))
    rows = draw(
        st.lists(
            st.lists(st.integers(-reach, reach), min_size=count, max_size=count),
            min_size=1,
            max_size=contributors,
        )
    )
    return layout, rows


@given(cohorts())
def test_sums_equal_integer_sums(cohort):
    layout, rows = cohort
    packed = [layout.pack(row) for row in rows]
    sums = [sum(column) % N for column in zip(*packed, strict=True)]
    expected = [sum(column) for column in zip(*rows, strict=True)]
    count = len(expected)
    assert layout.unpack(sums, count, contributors=len(rows), modulus=N) == expected


def test_the_extreme_sums_fit():
    layout = layout_of()
    for value in (layout.bound, -layout.bound):
        values = [value] * layout.slots
        assert layout.unpack(layout.pack(values), layout.slots, contributors=1, modulus=N) == values


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=5))
def test_a_sum_out_of_range_wraps_and_spills_by_its_wraps(values):
    layout = layout_of(clamp=10)
    out = layout.unpack(layout.pack(values), len(values), contributors=1, modulus=N)
    carry, expected = 0, []
    for value in values:
        total = value + carry
        expected.append(wrapped(total, layout.slot_bits))
        carry = (total - expected[-1]) >> layout.slot_bits
    assert out == expected


@given(st.integers(0, N - 1), st.integers(1, 200))
def test_no_plaintext_raises(plaintext, count):
    layout = layout_of()
    sums = [plaintext] * layout.plaintexts(count)
    out = layout.unpack(sums, count, contributors=4, modulus=N)
    half = 1 << (layout.slot_bits - 1)
    assert len(out) == count and all(-half <= value < half for value in out)


def test_arrays_pack_like_lists():
    values = [-(2**62), 2**62, 0, -1]
    layout = layout_of(contributors=1, clamp=2**62)
    assert layout.pack(np.array(values, dtype=np.int64)) == layout.pack(values)


@pytest.mark.parametrize(
    ("contributors", "clamp", "sigma", "bits", "bound", "slot_bits", "slots"),
    [
        (1, 1, 0.0, 1024, 1, 2, 511),
        (4, 127, 0.0, 3072, 508, 10, 307),
        # The design's example: 64 units, 20,000 rows a site, 1,000 sites: 32 bits.
        (1000, 20_000 * 64, 24.0, 3072, 1_280_006_831, 32, 95),
    ],
)
def test_the_layout_follows_the_formula(contributors, clamp, sigma, bits, bound, slot_bits, slots):
    layout = SlotLayout(contributors, clamp, sigma, bits)
    assert (layout.bound, layout.slot_bits, layout.slots) == (bound, slot_bits, slots)


@pytest.mark.parametrize(
    "changed",
    [
        {"contributors": 0},
        {"clamp": 0},
        {"sigma": -1.0},
        {"sigma": float("nan")},
        {"sigma": float("inf")},
        {"clamp": 2**62},
        {"modulus_bits": 8},
    ],
)
def test_an_impossible_layout_is_refused(changed):
    with pytest.raises(InvalidInput):
        layout_of(**changed)


def test_a_layout_of_exactly_64_bits_is_allowed():
    assert layout_of(contributors=1, clamp=2**63 - 1, sigma=0.0).slot_bits == 64


@pytest.mark.parametrize(
    ("sums", "count", "contributors", "modulus"),
    [(0, 5, 4, N), (2, 5, 4, N), (1, 5, 0, N), (1, 5, 5, N), (1, 5, 4, N << 2)],
)
def test_public_numbers_that_do_not_fit_are_refused(sums, count, contributors, modulus):
    with pytest.raises(InvalidInput):
        layout_of().unpack([1] * sums, count, contributors=contributors, modulus=modulus)
