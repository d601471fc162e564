import random
import threading
import warnings
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import BudgetExceeded, Conflict, InvalidInput
from federated.privacy import curator, private_bounds
from federated.privacy.bounds import Bounds, linear_points, log_points
from federated.sdk.benchmark import BenchmarkAggregator
from federated.sdk.benchmark_metrics import metrics_of
from federated.sdk.benchmark_release import plans_of, spend
from tests.untimed import UNTIMED

RESULTS = {"latency_ms": 42.5, "throughput_ops": 15000, "energy_j": 320.0}


@pytest.fixture
def seeded(monkeypatch):
    """Private bounds are off once in a million times; from this seed they are not."""
    below = random.Random(1).randrange
    monkeypatch.setattr(private_bounds, "find", partial(private_bounds.find, below=below))


def aggregator(**options):
    return BenchmarkAggregator(
        metrics=["latency", "throughput", "energy"], **{"privacy_epsilon": 2.0, **options}
    )


def test_the_seeds_example_runs_as_written(capsys):
    aggregator = BenchmarkAggregator(
        metrics=["latency", "throughput", "energy"],
        privacy_epsilon=2.0
    )  # fmt: skip

    # Each tenant submits private benchmarks
    aggregator.submit(
        tenant_id="site_a",
        benchmark_results={
            "latency_ms": 42.5,
            "throughput_ops": 15000,
            "energy_j": 320.0
        }
    )  # fmt: skip

    # Get differentially private aggregate statistics
    with pytest.warns(UserWarning, match="one tenant alone"):
        summary = aggregator.get_summary()
    print(f"Mean latency: {summary['latency_ms']['mean']} ms")
    print(f"Median throughput: {summary['throughput_ops']['median']} ops/s")
    assert "Median throughput:" in capsys.readouterr().out
    assert summary["energy_j"]["count"] == 1


def many(count=2000, **options):
    subject = aggregator(privacy_epsilon=10.0, **options)
    for number, latency in enumerate(np.linspace(100, 300, count)):
        subject.submit(f"site_{number}", {**RESULTS, "latency_ms": latency})
    return subject


def test_a_large_consortium_learns_its_statistics(seeded):
    latency = many(statistics=("mean", "median", "std")).get_summary()["latency_ms"]
    assert latency["mean"] == pytest.approx(200, abs=15)
    assert latency["median"] == pytest.approx(200, abs=25)
    assert latency["std"] == pytest.approx(58, abs=25)
    assert latency["count"] == 2000


def test_a_median_under_wide_default_bounds_is_near_for_few_tenants():
    """On a linear grid the empty points up to 100,000 outweigh thirty tenants; of 100 medians on
    the scale of logarithms, of which each is near with 0.88, half are not once in 10^20 runs."""
    near = 0
    for _ in range(100):
        subject = BenchmarkAggregator(["throughput"], privacy_epsilon=2.0)
        for number, value in enumerate(np.linspace(800, 1000, 30)):
            subject.submit(f"site_{number}", {"throughput_ops": value})
        near += 600 < subject.get_summary()["throughput_ops"]["median"] < 1400
    assert near > 50


@pytest.mark.parametrize(
    ("count", "value", "limits"), [(100, 42.0, (0, 1000)), (320, 5.0, None), (100, 42.0, None)]
)
def test_a_median_of_equal_values_is_theirs(seeded, count, value, limits):
    """Another point than theirs has e^-50 of its weight: none of 1,023 is taken, but for 2e-19."""
    for _ in range(20):
        subject = BenchmarkAggregator(
            ["latency"],
            privacy_epsilon=2.0,
            bounds={"latency": limits} if limits else None,
            statistics=("median",),
        )
        for number in range(count):
            subject.submit(f"site_{number}", {"latency_ms": value})
        row = subject.get_summary()["latency_ms"]
        bounds = Bounds(row["lower"], row["upper"])
        points = (linear_points if limits else log_points)(bounds).points
        step = next(b - a for a, b in pairwise(points) if a <= value <= b)
        assert abs(row["median"] - value) <= step / 2 * (1 + 1e-9)


def test_a_median_stays_within_narrow_bounds():
    subject = BenchmarkAggregator(["p99_ms"], 0.01, {"p99_ms": (5.0, 5.000001)}, ["median"])
    for number in range(20):
        subject.submit(f"site_{number}", {"p99_ms": 5.0000005})
    assert 5.0 <= subject.get_summary()["p99_ms"]["median"] <= 5.000001


def test_the_margin_covers_the_noise_of_the_mean():
    truth = 42.5
    covered = 0
    for _ in range(40):
        subject = BenchmarkAggregator(["latency"], privacy_epsilon=2.0)
        for number in range(100):
            subject.submit(f"site_{number}", {"latency_ms": truth})
        out = subject.get_summary()["latency_ms"]
        covered += abs(out["mean"] - truth) <= out["mean_margin"]
    # Binomial(40, >= 0.95): below 26 once in 10^9 runs.
    assert covered >= 26


def test_epsilon_is_spent_once_and_noise_is_real():
    subject = many(50)
    first = subject.get_summary()
    assert subject.get_summary() == first
    first["latency_ms"]["mean"] = 0.0
    assert subject.get_summary() != first
    assert many(50).get_summary() != subject.get_summary()


SPENT = st.tuples(
    st.floats(1e-6, 10.0),
    st.integers(1, 7),
    st.lists(st.sampled_from(["mean", "median", "std"]), min_size=1, max_size=3, unique=True),
    st.sampled_from([1, 50, 10**12]),
)


@UNTIMED
@given(SPENT)
def test_the_parts_add_up_to_epsilon_to_the_last_bit(case):
    epsilon, metrics, statistics, count = case
    names = ["latency", *(f"own_{at}" for at in range(metrics - 1))]
    listed = metrics_of(names, {name: (0.0, 1.0) for name in names[1:]})
    plans = plans_of(listed, tuple(statistics), epsilon, count)
    charges = [charge for plan in plans for charge in plan.charges()]
    assert sum(charges) == Fraction(epsilon)
    assert len(charges) == metrics * len(statistics) + (count == 10**12)
    budget = spend(plans, epsilon)
    assert budget.total()[0] == pytest.approx(epsilon)
    assert budget.total()[1] == 0
    with pytest.raises(BudgetExceeded, match="more than"):
        spend(plans, epsilon * (1 - 1e-15))


@pytest.fixture
def drawn(monkeypatch):
    """(name, epsilon) of every draw of the curator."""
    draws = []
    for module, names in ((curator, ("mean", "median", "std")), (private_bounds, ("find",))):
        for name in names:
            monkeypatch.setattr(module, name, counted(getattr(module, name), name, draws))
    return draws


def counted(real, name, draws):
    def spy(*arguments, **options):
        draws.append((name, arguments[-1]))
        return real(*arguments, **options)

    return spy


def test_the_noise_covers_the_whole_summary(drawn):
    many(20, statistics=("mean", "median", "std")).get_summary()
    assert len(drawn) == 9
    assert sum(epsilon for _, epsilon in drawn) == Fraction(10)


# A release that fails is spent all the same.


def failing(monkeypatch, error, *, after=0):
    """The ``std`` after so many raises ``error``, once."""
    real, calls = curator.std, []

    def std(*arguments, **options):
        calls.append(arguments)
        if len(calls) == after + 1:
            raise error
        return real(*arguments, **options)

    monkeypatch.setattr(curator, "std", std)


def test_a_failed_release_is_repeated_and_never_drawn_again(monkeypatch, drawn):
    failing(monkeypatch, RuntimeError("no answer"))
    subject = many(20, statistics=("mean", "std"))
    for _ in range(50):
        with pytest.raises(RuntimeError, match="no answer"):
            subject.get_summary()
    assert [name for name, _ in drawn] == ["mean"]
    assert subject._budget.total()[0] == pytest.approx(10.0)
    with pytest.raises(Conflict, match="its epsilon spent"):
        subject.submit("site_0", RESULTS)


def test_an_interrupted_release_is_over(monkeypatch, drawn):
    failing(monkeypatch, KeyboardInterrupt(), after=1)
    subject = many(20, statistics=("mean", "std"))
    with pytest.raises(KeyboardInterrupt):
        subject.get_summary()
    before = len(drawn)
    for _ in range(3):
        with pytest.raises(Conflict, match="interrupted and its epsilon is spent"):
            subject.get_summary()
    assert len(drawn) == before
    with pytest.raises(Conflict, match="its epsilon spent"):
        subject.submit("site_0", RESULTS)


def test_bounds_that_were_not_found_are_not_sought_again(drawn):
    subject = BenchmarkAggregator(["own"], 10.0, {"own": "private"}, ["mean"])
    for number in range(150):  # so spread that bounds are found or not by chance, which is kept
        subject.submit(f"site_{number}", {"own": 2.0 ** (number % 19)})
    outcomes = set()
    for _ in range(300):
        try:
            outcomes.add(str(subject.get_summary()))
        except Conflict as error:
            outcomes.add(error.message)
    assert len(outcomes) == 1
    assert [name for name, _ in drawn].count("find") == 1


def test_few_tenants_spend_nothing_and_more_may_come(drawn):
    subject = BenchmarkAggregator(
        ["latency", "own"], 10.0, {"latency": (0.0, 100.0), "own": "private"}, ["mean"]
    )
    subject.submit("site_a", {"latency_ms": 1.0, "own": 1.0})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(Conflict, match="private bounds need"):
            subject.get_summary()
    assert not drawn
    subject.submit("site_b", {"latency_ms": 1.0, "own": 1.0})


def test_threads_get_one_release_of_what_was_acknowledged(drawn):
    subject = aggregator(bounds={"latency": (0.0, 100.0)})
    subject.submit("site_first", RESULTS)
    subject.submit("site_second", RESULTS)
    taken, summaries, start = [], [], threading.Barrier(12)

    def submitter(name):
        start.wait()
        for number in range(30):
            try:
                subject.submit(f"site_{name}_{number}", RESULTS)
            except Conflict:
                return
            taken.append(number)

    def reader():
        start.wait()
        summaries.append(subject.get_summary())

    threads = [threading.Thread(target=submitter, args=(at,)) for at in range(6)]
    threads += [threading.Thread(target=reader) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(summaries) == 6
    assert all(summary == summaries[0] for summary in summaries)
    assert summaries[0]["latency_ms"]["count"] == len(taken) + 2
    assert len(drawn) == 6


def test_the_librarys_global_budget_is_left_alone():
    from diffprivlib import BudgetAccountant

    with BudgetAccountant(epsilon=0.1, delta=0) as outer:
        many(20).get_summary()
        assert outer.total()[0] == 0


def test_a_tenant_may_correct_itself_until_the_summary():
    subject = aggregator()
    for latency in (900.0, 1.0):
        subject.submit("site_a", {**RESULTS, "latency_ms": latency})
    subject.submit("site_b", RESULTS)
    assert subject.get_summary()["latency_ms"]["count"] == 2
    with pytest.raises(Conflict, match="its epsilon spent"):
        subject.submit("site_c", RESULTS)


def test_out_of_bounds_is_clamped_with_a_warning():
    subject = aggregator(bounds={"latency": (0.0, 40.0)})
    with pytest.warns(UserWarning, match="latency_ms of site_a .* 0 to 40 and was clamped"):
        subject.submit("site_a", RESULTS)
    assert subject._submissions["site_a"]["latency_ms"] == 40.0


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ({**RESULTS, "power_w": 1.0}, "unknown power_w; allowed: latency_ms"),
        ({"latency_ms": 1.0}, "missing throughput_ops, energy_j"),
        ({**RESULTS, "latency_ms": float("nan")}, "latency_ms: nan is not a finite number"),
        ({**RESULTS, "latency_ms": float("inf")}, "latency_ms: inf is not a finite number"),
        ({**RESULTS, "latency_ms": "42"}, "latency_ms: str is not a number"),
        ({**RESULTS, "latency_ms": None}, "latency_ms: NoneType is not a number"),
        ({**RESULTS, "latency_ms": True}, "latency_ms: bool is not a number"),
        ({**RESULTS, "latency_ms": np.array([1.0, 2.0])}, "latency_ms: ndarray is not a number"),
        ({**RESULTS, "latency_ms": Decimal(4)}, "latency_ms: Decimal is not a number"),
        ({**RESULTS, "latency_ms": Fraction(4)}, "latency_ms: Fraction is not a number"),
        ({**RESULTS, "latency_ms": 4 + 0j}, "latency_ms: complex is not a number"),
        ({**RESULTS, "latency_ms": np.timedelta64(4, "ns")}, "timedelta64 is not a number"),
        ({**RESULTS, "latency_ms": 10**400}, "of 1329 bits is beyond the largest float"),
        ({**RESULTS, "latency_ms": -(10**5000)}, "beyond the largest float"),
        ([1, 2], "not a mapping"),
    ],
)
def test_a_submission_that_does_not_fit_is_refused_and_nothing_stored(results, reason):
    subject = aggregator()
    with pytest.raises(InvalidInput, match=reason):
        subject.submit("site_a", results)
    with pytest.raises(Conflict, match="no tenant has submitted"):
        subject.get_summary()


def test_numpy_scalars_are_numbers():
    subject = aggregator()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        subject.submit("site_a", {**RESULTS, "latency_ms": np.float32(3), "energy_j": np.int64(4)})


@pytest.mark.parametrize("tenant", ["", "Site A", "x" * 60, None])
def test_a_tenant_has_a_slug(tenant):
    with pytest.raises(InvalidInput, match="tenant_id"):
        aggregator().submit(tenant, RESULTS)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"privacy_epsilon": 0}, "privacy_epsilon: 0 is not above 0"),
        ({"privacy_epsilon": 11}, "at most 10"),
        ({"privacy_epsilon": 5e-324}, "too small; allowed are 1e-06 to 10"),
        ({"privacy_epsilon": 9.9e-7}, "too small; allowed are 1e-06 to 10"),
        ({"privacy_epsilon": 10**400}, "beyond the largest float"),
        ({"privacy_epsilon": float("nan")}, "not a finite number"),
        ({"bounds": {"latency": (2**50, 2**50 + 1)}}, "bounds.latency_ms: .* too coarse"),
        ({"bounds": {"latency": (-1e308, 1e308)}}, "bounds.latency_ms: .* at most 1.27e.30"),
        ({"bounds": {"latency": (0, 10**400)}}, "bounds.latency_ms: .* beyond the largest float"),
        ({"bounds": {"latency": (0, 5e-324)}}, "bounds.latency_ms: .* too close"),
        ({"bounds": {"latency": (0, 1), "latency_ms": (0, 2)}}, "are one metric"),
        ({"bounds": {7: (0, 1)}}, "no such metric: 7"),
        ({"metrics": []}, "at least one metric"),
        ({"metrics": "latency"}, "not a list"),
        ({"metrics": ["latency", "latency_ms"]}, "listed twice"),
        ({"metrics": ["p99_ms"]}, "give its public bounds"),
        ({"bounds": {"latency": (3, 3)}}, "lower 3 is not below upper 3"),
        ({"bounds": {"latency": (3,)}}, "not a pair"),
        ({"bounds": {"latency": (0, float("inf"))}}, "not a finite number"),
        ({"bounds": {"power_w": (0, 1)}}, "no such metric: power_w"),
        ({"statistics": ["mode"]}, "allowed, each once: mean, median, std"),
        ({"statistics": ["mean", "mean"]}, "allowed, each once: mean, median, std"),
        ({"statistics": [["mean"]]}, "allowed, each once: mean, median, std"),
        ({"statistics": []}, "statistics: not a list of at least one statistic"),
        ({"statistics": "mean"}, "statistics: not a list of at least one statistic"),
        ({"statistics": 5}, "statistics: not a list of at least one statistic"),
        ({"statistics": (name for name in ["mean"])}, "statistics: not a list"),
        ({"metrics": 5}, "metrics: not a list of at least one metric"),
        ({"bounds": "private"}, "bounds: not a mapping of metric to a pair"),
        ({"bounds": 5}, "bounds: not a mapping"),
        ({"bounds": [(0, 1)]}, "bounds: not a mapping"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, reason):
    with pytest.raises(InvalidInput, match=reason):
        BenchmarkAggregator(**{"metrics": ["latency"], "privacy_epsilon": 2.0, **options})


def test_enough_tenants_get_private_bounds_that_spend_a_tenth(seeded, drawn):
    summary = many(600, statistics=("mean",)).get_summary()
    assert [name for name, _ in drawn] == ["find", "mean"] * 3
    assert [epsilon for _, epsilon in drawn] == [Fraction(1, 3), Fraction(3)] * 3
    for row in summary.values():
        assert row["bounds_epsilon"] == 1 / 3
    latency = summary["latency_ms"]  # 100 to 300
    assert (latency["lower"], latency["upper"]) in {(64, 256), (64, 512), (128, 512), (128, 256)}
    assert (summary["throughput_ops"]["lower"], summary["throughput_ops"]["upper"]) == (8192, 16384)


def test_few_tenants_keep_the_familys_public_bounds():
    row = many(50).get_summary()["latency_ms"]
    assert (row["lower"], row["upper"], row["bounds_epsilon"]) == (0, 1000, 0)


def test_given_bounds_are_never_replaced():
    row = many(600, bounds={"latency": (0.0, 400.0)}).get_summary()["latency_ms"]
    assert (row["lower"], row["upper"], row["bounds_epsilon"]) == (0, 400, 0)


def test_a_key_of_your_own_may_ask_for_private_bounds(seeded):
    subject = BenchmarkAggregator(["p99_ms"], 10.0, bounds={"p99_ms": "private"})
    for number in range(40):
        subject.submit(f"site_{number}", {"p99_ms": 7000.0 + number})
    with pytest.raises(Conflict, match=r"p99_ms: private bounds need \d+ tenants .* 40 have"):
        subject.get_summary()
    for number in range(40, 300):
        subject.submit(f"site_{number}", {"p99_ms": 7000.0})
    row = subject.get_summary()["p99_ms"]
    assert (row["lower"], row["upper"]) == (4096, 8192)
    assert row["mean"] == pytest.approx(7000, abs=60)


def test_a_metric_of_your_own_needs_its_bounds():
    subject = BenchmarkAggregator(["p99_ms"], 2.0, bounds={"p99_ms": (0, 500)})
    subject.submit("site_a", {"p99_ms": 12})
    subject.submit("site_b", {"p99_ms": 20})
    assert 0 <= subject.get_summary()["p99_ms"]["mean"] <= 500


@pytest.mark.parametrize("epsilon", [1e-6, 0.3, 10.0])
@pytest.mark.parametrize(
    "limits", [(0.0, 2.0**-100), (-(2.0**100), 2.0**100), (0.0, 1.0), (2.0**50, 2.0**50 + 2**23)]
)
def test_the_extremes_that_are_allowed_are_answered_within_the_bounds(epsilon, limits):
    subject = BenchmarkAggregator(
        ["own"], epsilon, {"own": limits}, statistics=("mean", "median", "std")
    )
    values = [0, -0.0, 5e-324, 2**53 + 1, 1e308, -(10**300), np.float32(1.5), limits[0], limits[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for number, value in enumerate(values):
            subject.submit(f"site_{number}", {"own": value})
    row = subject.get_summary()["own"]
    assert limits[0] <= row["mean"] <= limits[1]
    assert limits[0] <= row["median"] <= limits[1]
    assert 0 <= row["std"] <= (limits[1] - limits[0]) / 2
    assert 0 < row["mean_margin"] <= limits[1] - limits[0]


def test_a_summary_has_the_keys_of_old():
    row = many(20, statistics=("mean", "median", "std")).get_summary()["latency_ms"]
    assert set(row) == {
        *("mean", "median", "std", "count", "mean_margin", "lower", "upper", "bounds_epsilon")
    }
    assert all(type(value) is float for name, value in row.items() if name != "count")


SUBMITTED = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**1023), 2**1023),
    st.integers(-(2**62), 2**62).map(np.int64),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(np.float32),
    st.sampled_from([0, -0.0, 5e-324, -5e-324, 2**53 + 1, 1e308, -1e308, np.float16(0.1)]),
)
LIMITS = st.sampled_from(
    [
        (0.0, 1.0),
        (-0.0, 2.0**-100),
        (-(2.0**100), 2.0**100),
        (2.0**50, 2.0**50 + 2.0**22),
        (-1e18 - 1e12, -1e18),
        (1.7e9, 1.7e9 + 60),
        (0.1, 0.3),
        None,
    ]
)


def integers_released(limits, values):
    """Each integer statistic of a release without noise, and the scale of the noise it paid for."""
    found, scales = [], []

    def noiseless(scale, **options):
        scales.append(scale)
        return 0

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        patch.setattr(curator.discrete_laplace, "sample", noiseless)
        for name in ("total", "spread"):
            real = getattr(curator, name)
            patch.setattr(curator, name, lambda steps, real=real: found.append(real(steps)) or 0)
        subject = BenchmarkAggregator(
            ["latency"], 1.5, {"latency": limits} if limits else None, ("mean", "std")
        )
        for number, value in enumerate(values):
            subject.submit(f"site_{number}", {"latency_ms": value})
        subject.get_summary()
    return found, scales


@UNTIMED
@given(LIMITS, st.lists(SUBMITTED, min_size=2, max_size=20), SUBMITTED, st.data())
def test_one_tenant_moves_no_integer_by_more_than_its_noise_pays_for(limits, values, other, data):
    place = data.draw(st.integers(0, len(values) - 1))
    one, scales = integers_released(limits, values)
    two, same = integers_released(limits, [*values[:place], other, *values[place + 1 :]])
    assert scales == same
    assert len(one) == len(scales) == 2
    for before, after, scale in zip(one, two, scales, strict=True):
        assert type(before) is int
        assert abs(before - after) <= scale * Fraction(1.5) / 2
