"""The law of mask noise, against exact probabilities and an independent sampler."""

from decimal import Decimal

import numpy as np
import opendp.prelude as dp
from scipy import stats

from federated.crypto import narrow_gaussian
from federated.crypto.narrow_gaussian import CUT, SIGMA, sample

DRAWS = 400_000


def seeded(seed):
    """Uniform bytes that are the same every time."""
    return np.random.Generator(np.random.Philox(seed)).bytes


def exact():
    weights = [(-(Decimal(x) ** 2) / (2 * SIGMA**2)).exp() for x in range(-CUT, CUT + 1)]
    total = sum(weights)
    return np.array([float(weight / total) for weight in weights])


def pooled(observed, expected):
    """Both with the rare values at either end put together, to at least 20 expected each."""
    keep = np.flatnonzero(expected >= 20)
    low, high = keep[0], keep[-1] + 1
    return [
        np.array([part[:low].sum(), *part[low:high], part[high:].sum()])
        for part in (observed, expected)
    ]


def test_draws_follow_the_law():
    draws = sample(DRAWS, source=seeded(1))
    assert draws.dtype == np.int8
    observed = np.bincount(draws.astype(int) + CUT, minlength=2 * CUT + 1)
    observed, expected = pooled(observed, exact() * DRAWS)
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_draws_agree_with_an_independent_exact_sampler():
    dp.enable_features("contrib")
    oracle = dp.m.make_gaussian(
        dp.vector_domain(dp.atom_domain(T=int)), dp.l2_distance(T=float), scale=float(SIGMA)
    )
    theirs = np.array(oracle([0] * 20_000))
    ours = sample(20_000, source=seeded(2))
    edges = [-100, *range(-14, 15), 100]
    table = [np.histogram(side, bins=edges)[0] for side in (ours, theirs)]
    # The peer's randomness cannot be seeded: one false alarm in 10^10 runs.
    assert stats.chi2_contingency(table).pvalue > 1e-10


def test_every_probability_is_held_to_128_bits():
    table = (0, *narrow_gaussian._cumulative(), 2**128)
    steps = np.diff(np.array(table, dtype=object))
    weights = [(-(Decimal(x) ** 2) / (2 * SIGMA**2)).exp() for x in range(-CUT, CUT + 1)]
    total = sum(weights)
    for step, weight in zip(steps, weights, strict=True):
        assert abs(Decimal(int(step)) / 2**128 - weight / total) < Decimal(2) ** -90
    assert max(abs(a - b) for a, b in zip(steps, steps[::-1], strict=True)) <= 2


def test_the_short_table_and_the_long_one_say_the_same():
    lookup = narrow_gaussian._lookup()
    for word in range(65_536):
        first = narrow_gaussian._invert(word << 112)
        last = narrow_gaussian._invert((word << 112) + 2**112 - 1)
        assert lookup[word] == (first if first == last else 127)


def test_undecided_words_read_the_rest_of_their_bits():
    lookup = narrow_gaussian._lookup()
    word = int(np.flatnonzero(lookup == 127)[20])
    low, high = (narrow_gaussian._invert((word << 112) + r) for r in (0, 2**112 - 1))
    assert low < high

    def source(rest):
        parts = iter([word.to_bytes(2, "little"), rest])
        return lambda size: next(parts)

    assert sample(1, source=source(b"\0" * 14)) == [low]
    assert sample(1, source=source(b"\xff" * 14)) == [high]


def test_the_rest_of_the_bits_decides_as_the_long_table_does():
    edges = narrow_gaussian._cumulative()
    uniforms = [edge + step for edge in edges for step in (-(2**64), -1, 0, 1, 2**64)]
    uniforms = [uniform for uniform in uniforms if 0 <= uniform < 2**128]
    words = np.array([uniform >> 112 for uniform in uniforms], dtype=np.uint16)
    rest = b"".join((uniform % 2**112).to_bytes(14, "little") for uniform in uniforms)
    found = narrow_gaussian._decided(words, rest)
    assert found.tolist() == [narrow_gaussian._invert(uniform) for uniform in uniforms]


def test_extreme_bytes_stay_in_range():
    assert set(sample(10, source=lambda size: b"\0" * size)) == {-CUT}
    assert set(sample(10, source=lambda size: b"\xff" * size)) == {CUT}
