import warnings

import numpy as np
import pytest

from federated.errors import Conflict, InvalidInput
from federated.sdk.benchmark import BenchmarkAggregator

RESULTS = {"latency_ms": 42.5, "throughput_ops": 15000, "energy_j": 320.0}


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


def test_a_large_consortium_learns_its_statistics():
    latency = many(statistics=("mean", "median", "std")).get_summary()["latency_ms"]
    assert latency["mean"] == pytest.approx(200, abs=15)
    assert latency["median"] == pytest.approx(200, abs=25)
    assert latency["std"] == pytest.approx(58, abs=25)
    assert latency["count"] == 2000


def test_a_median_under_wide_default_bounds_is_near_for_few_tenants():
    """On a linear scale the empty gap up to 100,000 outweighs thirty tenants: one in four is near;
    of 100 fewer than half are, on the scale of logarithms, once in a million runs."""
    near = 0
    for _ in range(100):
        subject = BenchmarkAggregator(["throughput"], privacy_epsilon=2.0)
        for number, value in enumerate(np.linspace(800, 1000, 30)):
            subject.submit(f"site_{number}", {"throughput_ops": value})
        near += 600 < subject.get_summary()["throughput_ops"]["median"] < 1400
    assert near > 50


def test_the_margin_covers_the_noise_of_the_mean():
    truth = 42.5
    covered = 0
    for _ in range(40):
        subject = BenchmarkAggregator(["latency"], privacy_epsilon=2.0)
        for number in range(100):
            subject.submit(f"site_{number}", {"latency_ms": truth})
        out = subject.get_summary()["latency_ms"]
        covered += abs(out["mean"] - truth) <= out["mean_margin"]
    # Binomial(40, >= 0.95): below 28 once in 10^9 runs.
    assert covered >= 28


def test_epsilon_is_spent_once_and_noise_is_real():
    subject = many(50)
    first = subject.get_summary()
    assert subject.get_summary() == first
    first["latency_ms"]["mean"] = 0.0
    assert subject.get_summary() != first
    assert many(50).get_summary() != subject.get_summary()


def test_the_noise_covers_the_whole_summary(monkeypatch):
    from diffprivlib import tools

    spent = []
    for name in ("mean", "median", "std"):
        real = getattr(tools, name)

        def spy(values, *, epsilon, real=real, **options):
            spent.append(epsilon)
            return real(values, epsilon=epsilon, **options)

        monkeypatch.setattr(tools, name, spy)
    many(20, statistics=("mean", "median", "std")).get_summary()
    assert len(spent) == 9
    assert sum(spent) == pytest.approx(10.0)


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
        ({"metrics": []}, "at least one metric"),
        ({"metrics": "latency"}, "not a list"),
        ({"metrics": ["latency", "latency_ms"]}, "listed twice"),
        ({"metrics": ["p99_ms"]}, "give its public bounds"),
        ({"bounds": {"latency": (3, 3)}}, "lower 3 is not below upper 3"),
        ({"bounds": {"latency": (3,)}}, "not a pair"),
        ({"bounds": {"latency": (0, float("inf"))}}, "not a finite number"),
        ({"bounds": {"power_w": (0, 1)}}, "no such metric: power_w"),
        ({"statistics": ["mode"]}, "allowed, each once: mean, median, std"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, reason):
    with pytest.raises(InvalidInput, match=reason):
        BenchmarkAggregator(**{"metrics": ["latency"], "privacy_epsilon": 2.0, **options})


def test_enough_tenants_get_private_bounds_that_spend_a_tenth(monkeypatch):
    from diffprivlib import tools

    spent = []
    real = tools.mean

    def spy(values, *, epsilon, **options):
        spent.append(epsilon)
        return real(values, epsilon=epsilon, **options)

    monkeypatch.setattr(tools, "mean", spy)
    summary = many(600, statistics=("mean",)).get_summary()
    for row, used in zip(summary.values(), spent, strict=True):
        assert row["bounds_epsilon"] == pytest.approx(1 / 3)
        assert used + row["bounds_epsilon"] == pytest.approx(10 / 3)
    latency = summary["latency_ms"]  # 100 to 300
    assert (latency["lower"], latency["upper"]) in {(64, 256), (64, 512), (128, 512), (128, 256)}
    assert (summary["throughput_ops"]["lower"], summary["throughput_ops"]["upper"]) == (8192, 16384)


def test_few_tenants_keep_the_familys_public_bounds():
    row = many(50).get_summary()["latency_ms"]
    assert (row["lower"], row["upper"], row["bounds_epsilon"]) == (0, 1000, 0)


def test_given_bounds_are_never_replaced():
    row = many(600, bounds={"latency": (0.0, 400.0)}).get_summary()["latency_ms"]
    assert (row["lower"], row["upper"], row["bounds_epsilon"]) == (0, 400, 0)


def test_a_key_of_your_own_may_ask_for_private_bounds():
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
