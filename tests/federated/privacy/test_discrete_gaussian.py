import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from federated.errors import InvalidInput
from federated.privacy import discrete_gaussian
from federated.privacy.discrete_gaussian import sample


def seeded(seed: int) -> Callable[[int], bytes]:
    return np.random.Generator(np.random.PCG64(seed)).bytes


def law(sigma: float, reach: int) -> np.ndarray:
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


@pytest.mark.parametrize("sigma", [1.0, 3.0, 7.99, 8.0, 16.0, 33.7, 70.0])
def test_every_integer_has_its_probability(sigma):
    size, reach = 400_000, math.ceil(3.5 * sigma)
    draws = sample(sigma, size, source=seeded(round(sigma * 100)))
    wide = law(sigma, 12 * math.ceil(sigma))
    middle = len(wide) // 2
    expected = wide[middle - reach : middle + reach + 1]
    inside = draws[np.abs(draws) <= reach]
    counts = np.bincount(inside + reach, minlength=2 * reach + 1)
    observed = np.append(counts, size - len(inside))
    result = stats.chisquare(observed, size * np.append(expected, 1 - expected.sum()))
    assert result.pvalue > 1e-4


@pytest.mark.parametrize("sigma", [2315.6, 1e6, 2.0**30])
def test_wide_draws_follow_the_gaussian(sigma):
    draws = sample(sigma, 200_000, source=seeded(1))
    assert stats.kstest(draws / sigma, "norm").pvalue > 1e-3
    # The steps of the coarse part must not show: residues are uniform.
    residues = np.bincount(draws % 16, minlength=16)
    assert stats.chisquare(residues).pvalue > 1e-3


@pytest.mark.parametrize("sigma", [3.0, 5.3, 40.0])
def test_agrees_with_opendp(sigma):
    dp = pytest.importorskip("opendp.prelude")
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float)
    peer = np.array(dp.m.make_gaussian(*space, scale=sigma)([0] * 40_000))
    ours = sample(sigma, 40_000, source=seeded(7))
    edges = np.unique(np.round(np.linspace(-2.5 * sigma, 2.5 * sigma, 14))) - 0.5
    bins = np.concatenate([[-np.inf], edges, [np.inf]])
    table = [np.histogram(draws, bins)[0] for draws in (ours, peer)]
    # The peer's randomness cannot be seeded: one false alarm in 10^10 runs.
    assert stats.chi2_contingency(table).pvalue > 1e-10


def test_tails_are_there_and_not_too_heavy():
    draws = np.abs(sample(10.0, 2_000_000, source=seeded(3)))
    for multiple in (3, 4, 4.5):
        expected = len(draws) * 2 * stats.norm.sf((math.ceil(multiple * 10) - 0.5) / 10)
        found = int((draws >= math.ceil(multiple * 10)).sum())
        assert abs(found - expected) < 5 * math.sqrt(expected) + 1
    assert draws.max() < 70


def test_shares_are_independent_and_centred():
    draws = sample(50.0, 200_000, source=seeded(4)).astype(float)
    assert abs(draws.mean()) < 5 * 50 / math.sqrt(len(draws))
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 5 / math.sqrt(len(draws))


def test_a_seeded_source_repeats_and_the_system_does_not():
    assert (sample(9.0, 100, source=seeded(5)) == sample(9.0, 100, source=seeded(5))).all()
    # Two draws agree with probability below 1/(2 sqrt(pi) 9) + 10^-9 < 0.04: 100 in 10^-139.
    assert (sample(9.0, 100) != sample(9.0, 100)).any()


def test_exact_comparisons_agree_with_the_float_ones():
    steps = np.arange(20_000, dtype=np.float64)
    r = np.full(20_000, 37, dtype=np.int32)
    fast = discrete_gaussian._bernoulli_exp(r, steps, 400.0, seeded(6))
    exact = discrete_gaussian._bernoulli_exp(r, steps, 400.0, seeded(6), unsure=2.0)
    assert (fast == exact).all()
    assert 0 < fast.sum() < len(fast)


@pytest.mark.parametrize(("rest", "accepted"), [(b"\x00", True), (b"\xff", False)])
def test_a_uniform_that_ties_with_a_probability_reads_further_bits(rest, accepted):
    # exp(-1 / 2) begins with these 32 bits.
    first = math.floor(math.exp(-0.5) * 2**32).to_bytes(4, "little")
    parts = iter([first, rest * 12])
    one, steps = np.ones(1, dtype=np.int32), np.ones(1)
    found = discrete_gaussian._bernoulli_exp(one, steps, 1.0, lambda size: next(parts))
    assert found.tolist() == [accepted]


def test_a_certain_acceptance_is_certain():
    zero, steps = np.zeros(1, dtype=np.int32), np.ones(1)
    found = discrete_gaussian._bernoulli_exp(zero, steps, 9.0, lambda size: b"\xff" * size)
    assert found.tolist() == [True]


def test_a_tie_with_the_table_is_broken_by_further_bits():
    table = discrete_gaussian._table(3.0, 0)
    words = table.high[[2, 2]]
    above = discrete_gaussian._search(table, words, lambda size: b"\xff" * size)
    below = discrete_gaussian._search(table, words, lambda size: b"\x00" * size)
    assert above.tolist() == [3, 3]
    assert below.tolist() == [2, 2]


@pytest.mark.parametrize("sigma", [1.0, 3.0, 12.3])
def test_prefixes_and_the_table_say_the_same(sigma):
    table = discrete_gaussian._table(sigma, 0)
    prefixes = np.arange(1 << 16, dtype=np.uint16)
    first, last = (
        discrete_gaussian._table_draw(table, prefixes, lambda size: fill * size)
        for fill in (b"\x00", b"\xff")
    )
    words = prefixes.astype(np.uint64) << np.uint64(48)
    for found, low in ((first, 0), (last, 2**48 - 1)):
        expected = np.searchsorted(table.high, words + np.uint64(low), side="right")
        np.testing.assert_array_equal(found, expected)
    assert 0 < (first != last).sum() <= len(table.high)


@pytest.mark.parametrize("sigma", [0.0, 0.5, 2.0**31, math.nan, math.inf])
def test_a_sigma_that_cannot_be_sampled_is_refused(sigma):
    with pytest.raises(InvalidInput, match="sigma"):
        sample(sigma, 1)


def test_no_draws_are_an_empty_vector():
    assert sample(5.0, 0).shape == (0,)
