"""Masks add up, keys take them off again, and the errors stay where they may."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.crypto import masking
from federated.crypto.masking import MaskLayout, PublicPart
from federated.crypto.narrow_gaussian import CUT, sample
from federated.crypto.negacyclic import DEGREE, SmallFactor
from federated.errors import InvalidInput, MaskKeyInvalid

LIMIT = 1 << (masking.SCALE_BITS - 1)


def layout_of_width(width):
    return MaskLayout(contributors=4, clamp=1000 if width == 26 else 10**9, sigma=20.0)


def test_a_layout_takes_two_values_where_a_slot_fits_26_bits_else_one():
    # Bounds of 2^25 - 1 and of one more: the largest that 26 bits hold, and the smallest beyond.
    for clamp, values, width in ((2**25 - 1, 2, 26), (2**25, 1, 52), (2**51 - 1, 1, 52)):
        layout = MaskLayout(contributors=1, clamp=clamp, sigma=0.0)
        assert (layout.values_per_word, layout.width) == (values, width)
    with pytest.raises(InvalidInput, match="52 are allowed"):
        MaskLayout(contributors=1, clamp=2**51, sigma=0.0)
    with pytest.raises(InvalidInput, match="1000"):
        MaskLayout(contributors=1001, clamp=1, sigma=0.0)


def test_design_numbers_fit_26_bits():
    # z = 12, clip at 2^13 grid units, 1,000 sites.
    assert MaskLayout(contributors=1000, clamp=2**13, sigma=12 * 2**13 / 999**0.5).width == 26


@given(
    st.sampled_from([26, 52]),
    st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=9),
    st.integers(-LIMIT, LIMIT - 1),
)
def test_values_survive_any_allowed_error_and_wrap_beyond_their_slot(width, values, error):
    layout = layout_of_width(width)
    words = layout.encode(np.array(values, dtype=np.int64))
    assert len(words) == layout.words(len(values))
    words = words + np.int64(error).view(np.uint64)
    half = 1 << (width - 1)
    decoded = layout.decode(words, len(values)).tolist()
    inside = [-half <= value < half for value in values]
    if all(inside):
        assert decoded == values
    for at, value in enumerate(values):
        # A slot's neighbour is off by the wraps of the slot below it, and by nothing else.
        if at % layout.values_per_word == 0:
            assert decoded[at] == (value + half) % (1 << width) - half


@settings(deadline=None)
@given(st.sampled_from([26, 52]), st.integers(1, 4), st.integers(1, 9), st.integers(0, 2**32))
def test_encoded_values_add_up(width, sites, count, seed):
    layout = layout_of_width(width)
    half = 1 << (width - 1)
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-(half // sites), half // sites, (sites, count))
    total = np.add.reduce([layout.encode(vector) for vector in vectors])
    np.testing.assert_array_equal(layout.decode(total, count), vectors.sum(axis=0))


def test_errors_of_a_thousand_sites_stay_below_the_rounding_limit():
    worst, source = 0, np.random.Generator(np.random.PCG64(1)).bytes
    for _ in range(25):
        errors = sample(1000 * DEGREE, source=source).reshape(1000, DEGREE)
        errors = errors.sum(axis=0, dtype=np.int64)
        worst = max(worst, int(np.abs(errors).max()))
    # About 4.6 standard deviations over 10^5 sums; the limit is 10.1.
    assert 700 < worst < LIMIT
    assert LIMIT / (6.4 * 1000**0.5) > 10


def test_errors_of_thirty_sites_cannot_reach_the_limit():
    assert 31 * CUT < LIMIT


@pytest.mark.parametrize("contributors", [1, 4, 10, 1000])
def test_a_sum_of_keys_in_range_fits_its_slot_and_passes(contributors):
    layout = masking.key_layout(contributors, 3072)
    limit = CUT * contributors
    assert layout.bound == limit
    assert layout.slot_bits == ceil(np.log2(2 * limit + 1))
    masking.check_key_sum(np.full(DEGREE, -limit, dtype=np.int64), contributors)


def test_a_thousand_sites_take_23_ciphertexts():
    layout = masking.key_layout(1000, 3072)
    assert (layout.slot_bits, layout.plaintexts(DEGREE)) == (17, 23)


@pytest.mark.parametrize("value", [4 * CUT + 1, -4 * CUT - 1, 2**62])
def test_a_sum_of_keys_out_of_range_is_refused(value):
    key = np.zeros(DEGREE, dtype=np.int64)
    key[-1] = value
    with pytest.raises(MaskKeyInvalid, match="256"):
        masking.check_key_sum(key, 4)


def test_keys_and_errors_are_fresh():
    first, second = masking.fresh_key(), masking.fresh_key()
    assert (first != second).sum() > DEGREE / 2
    public, factor = PublicPart(b"context"), SmallFactor(first)
    one, other = (next(masking.masks(factor, public, DEGREE)) for _ in range(2))
    errors = (one - other).view(np.int64)
    assert 0 < np.abs(errors).max() <= 2 * CUT
    assert 8 < errors.std() < 10  # 6.4 sqrt(2)


def test_public_parts_depend_on_the_context_and_differ_block_by_block():
    words = 20 * DEGREE
    a = np.concatenate(list(PublicPart(b"context").chunks(words)))
    again = np.concatenate(list(PublicPart(b"context").chunks(words)))
    other = np.concatenate(list(PublicPart(b"contexu").chunks(words)))
    np.testing.assert_array_equal(a, again)
    assert a.shape == (20, DEGREE)
    assert len(np.unique(np.concatenate([a, other]))) == 2 * words


@given(st.integers(1, 3 * masking.CHUNK_BLOCKS * DEGREE))
@settings(max_examples=10, deadline=None)
def test_a_mask_comes_off_but_for_its_errors(words):
    key, public = SmallFactor(masking.fresh_key()), PublicPart(b"context")
    masked = np.concatenate(list(masking.masks(key, public, words)))
    assert len(masked) == words
    errors = np.concatenate(list(masking.unmasked(masked, key, public))).view(np.int64)
    assert np.abs(errors).max() <= CUT
