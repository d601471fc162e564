"""Products are exact whichever way they are taken."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.crypto import negacyclic
from federated.crypto.narrow_gaussian import CUT, sample
from federated.crypto.negacyclic import DEGREE, SmallFactor
from federated.errors import InvalidInput


def schoolbook(large, small):
    """The product by its definition, in wrapping 64-bit integers."""
    total = np.zeros(DEGREE, dtype=np.uint64)
    for shift, coefficient in enumerate(small.tolist()):
        rotated = np.concatenate([-large[DEGREE - shift :], large[: DEGREE - shift]])
        total += rotated * np.uint64(coefficient % 2**64)
    return total


def uniform(seed, blocks=1):
    return np.random.default_rng(seed).integers(0, 2**64, (blocks, DEGREE), dtype=np.uint64)


def key(seed, sites=1):
    rng = np.random.default_rng(seed)
    draws = sample(DEGREE * sites, source=rng.bytes).astype(np.int64)
    return draws.reshape(sites, DEGREE).sum(axis=0)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 10, 1000]))
@settings(max_examples=12, deadline=None)
def test_the_float_product_is_the_product(seed, sites):
    small, large = key(seed, sites), uniform(seed, 2)
    product, exact = SmallFactor(small)._times_float(large)
    assert exact.all()
    for row, values in zip(product, large, strict=True):
        np.testing.assert_array_equal(row, schoolbook(values, small))


@pytest.mark.parametrize(
    "large",
    [
        np.full((1, DEGREE), 2**64 - 1, dtype=np.uint64),
        np.full((1, DEGREE), 2**63, dtype=np.uint64),
        np.full((1, DEGREE), 2**31, dtype=np.uint64),
        np.full((1, DEGREE), 2**32 - 2**31 - 1, dtype=np.uint64),
        np.zeros((1, DEGREE), dtype=np.uint64),
    ],
)
@pytest.mark.parametrize("value", [CUT, -CUT, 0, 1])
def test_extreme_factors_multiply_exactly(large, value):
    small = np.full(DEGREE, value, dtype=np.int64)
    small[1::3] *= -1
    np.testing.assert_array_equal(SmallFactor(small).times(large)[0], schoolbook(large[0], small))


@pytest.mark.parametrize("size", [64_000, 2**31 - 1])
def test_factors_beyond_the_bound_are_multiplied_in_integers(size):
    small = np.full(DEGREE, size, dtype=np.int64)
    small[::2] *= -1
    large = uniform(5)
    factor = SmallFactor(small)
    _, exact = factor._times_float(large)
    assert not exact.any()
    np.testing.assert_array_equal(factor.times(large)[0], schoolbook(large[0], small))


def test_a_block_that_the_guard_doubts_is_multiplied_in_integers(monkeypatch):
    small, large = key(7), uniform(7, 2)
    calls = []
    whole = SmallFactor.times_integer

    def counted(self, row):
        calls.append(row)
        return whole(self, row)

    monkeypatch.setattr(negacyclic, "_GUARD", 0.0)
    monkeypatch.setattr(SmallFactor, "times_integer", counted)
    product = SmallFactor(small).times(large)
    assert len(calls) == 2
    for row, values in zip(product, large, strict=True):
        np.testing.assert_array_equal(row, schoolbook(values, small))


def test_a_transform_that_went_wrong_is_multiplied_in_integers(monkeypatch):
    """What a processor or a library gets wrong costs time and no coefficient."""
    small, large = key(8), uniform(8, 3)
    whole = negacyclic._backward

    def broken(values):
        whole(values)
        values[0, 0, 5], values[1, 1, 2000] = np.nan, values[1, 1, 2000] + 0.4

    monkeypatch.setattr(negacyclic, "_backward", broken)
    factor = SmallFactor(small)
    _, exact = factor._times_float(large)
    assert exact.tolist() == [False, False, True]
    for row, values in zip(factor.times(large), large, strict=True):
        np.testing.assert_array_equal(row, schoolbook(values, small))


def limbs(large, widths):
    """Signed limbs as floats, shape (limbs, blocks, 4096), their two halves interleaved."""
    values = np.empty((len(widths), len(large), DEGREE // 2), dtype=np.complex128)
    negacyclic._split(large, widths, out=values)
    return values


def test_measured_errors_stay_far_inside_the_proven_bound():
    small, large = key(9), uniform(9, 16)
    factor = SmallFactor(small)
    values = limbs(large, factor._limbs)
    bound = np.linalg.norm(values, axis=-1) * factor._norm * negacyclic._ERROR
    negacyclic._forward(values)
    values *= factor._spectrum
    negacyclic._backward(values)
    products = values.view(np.float64)
    error = np.abs(products - np.rint(products)).max(axis=-1)
    assert (error < bound / 4).all()
    assert (bound < 0.75).all()
    # What rounding by addition needs: the norms' product bounds every coefficient.
    assert np.abs(products).max() < 2.0**46 < 2.0**51


def test_limbs_add_up():
    large = uniform(11, 3)
    large[0, :4] = 2**63 - 1, 2**63, 2**31, 2**32 - 2**31 - 1
    for widths in (negacyclic._FEW, negacyclic._MORE):
        total, shift = np.zeros_like(large), 0
        for limb, width in zip(limbs(large, widths), widths, strict=True):
            signed = np.concatenate([limb.real, limb.imag], axis=-1)
            assert np.abs(signed).max() <= 2.0 ** (width - 1)
            total += signed.astype(np.int64).view(np.uint64) << np.uint64(shift)
            shift += width
        np.testing.assert_array_equal(total, large)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(DEGREE - 1, dtype=np.int64),
        np.zeros(DEGREE, dtype=np.float64),
        np.full(DEGREE, 2**31, dtype=np.int64),
        np.full(DEGREE, -(2**63), dtype=np.int64),
    ],
)
def test_an_impossible_factor_is_refused(wrong):
    with pytest.raises(InvalidInput):
        SmallFactor(wrong)
