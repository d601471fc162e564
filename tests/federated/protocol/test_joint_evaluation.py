"""Cells of held-out records, and what noisy tables of them say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score

from federated.errors import InvalidInput
from federated.privacy import discrete_gaussian
from federated.privacy.config import PrivacyConfig
from federated.protocol.cost import check_spec_privacy, share_sigma, sum_sigma
from federated.protocol.evaluation import evaluation_make
from federated.protocol.kinds.training import contribution_make
from federated.protocol.propose import spec_make
from federated.protocol.release import release_make
from federated.training.data import Dataset
from federated.training.joint import joint_result
from federated.training.server import ServerState
from federated.training.tally import bounded_counts, error_edges
from federated.training.task import predict
from federated.wire.data import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from federated.wire.job import DataDictionary, JobSpec, LinearLayer, ModelSpec, NumericFeature
from tests.federated.protocol.conftest import CAST, Consortium, with_

TARGETS: dict[str, Target] = {
    "binary": BinaryTarget(name="y"),
    "multiclass": MulticlassTarget(name="y", classes=("a", "b", "c")),
    "regression": RegressionTarget(name="y", lower=0.0, upper=200.0),
}
RNG = np.random.default_rng(4)


@pytest.fixture(scope="module", params=TARGETS)
def evaluation(request: pytest.FixtureRequest, consortium: Consortium) -> JobSpec:
    return make(consortium, TARGETS[request.param])


def make(consortium: Consortium, target: Target, **options: object) -> JobSpec:
    """An evaluation of a released model for this target."""
    model = ModelSpec(layers=(LinearLayer(in_features=3, out_features=target.outputs),))
    state = ServerState.initial(np.zeros(model.parameters))
    shared = {
        "job_id": "00000000-0000-4000-8000-000000000001",
        "proposer": "northwind",
        "proposed_at": "2026-01-01T00:00:00Z",
        "participants": consortium.spec.participants,
        "privacy": PrivacyConfig(),
        "key_epoch": consortium.epoch.digest(),
    }
    trained = spec_make(
        consortium="test",
        data=DataDictionary(
            dataset="ward",
            features=tuple(NumericFeature(name=f"x{i}", lower=-1, upper=1) for i in range(3)),
            target=target,
            nominal_records=400,
            max_records=200,
        ),
        model=model,
        initial_state=state.digest(),
        rounds=1,
        **shared,
    )
    shared["job_id"] = "00000000-0000-4000-8000-000000000002"
    after = ServerState(
        step=1, parameters=state.parameters, average=state.average, moments=state.moments
    )
    return evaluation_make(trained, after, **(shared | options))


def rows(spec: JobSpec, number: int = 150) -> tuple[np.ndarray, Dataset]:
    """Parameters, and records that follow them loosely."""
    parameters = RNG.normal(0, 2, spec.model.parameters)
    parameters[-spec.model.outputs :] = 0.0
    features = RNG.uniform(-1, 1, (number, 3)).astype(np.float32)
    told = predict(spec.model, spec.data.target, parameters, features)
    kind = spec.data.target.kind
    if kind == "binary":
        target = RNG.random(number) < told
    elif kind == "multiclass":
        target = np.array([RNG.choice(3, p=p) for p in told])
    else:
        target = np.clip(told / 100 - 1 + RNG.normal(0, 0.2, number), -1, 1)
    return parameters, Dataset(features=features, target=target.astype(np.float32))


def exact(spec: JobSpec, parameters: np.ndarray, data: Dataset) -> np.ndarray:
    return bounded_counts(spec, parameters, data) // spec.privacy.units


def test_a_record_adds_its_units_to_exactly_one_cell(evaluation: JobSpec) -> None:
    parameters, data = rows(evaluation, 20)
    whole = bounded_counts(evaluation, parameters, data)
    assert whole.shape == (evaluation.dimension,) and whole.dtype == np.int64
    for gone in range(len(data)):
        kept = np.arange(len(data)) != gone
        rest = Dataset(features=data.features[kept], target=data.target[kept])
        moved = whole - bounded_counts(evaluation, parameters, rest)
        assert sorted(moved)[-1] == evaluation.privacy.units == moved.sum()
        assert (moved >= 0).all()
    nobody = Dataset(features=data.features[:0], target=data.target[:0])
    assert not bounded_counts(evaluation, parameters, nobody).any()


@settings(max_examples=30, deadline=None)
@given(scale=st.sampled_from([0.0, 1.0, 1e3, 1e150, 1e300]), seed=st.integers(0, 2**32))
def test_any_parameters_put_every_record_in_a_cell(
    consortium: Consortium, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for target in TARGETS.values():
        spec = make(consortium, target)
        features = rng.uniform(-1, 1, (5, 3)).astype(np.float32)
        values = rng.integers(0, 2, 5).astype(np.float32)
        parameters = rng.normal(0, 1, spec.model.parameters) * scale
        with np.errstate(all="ignore"):
            table = exact(spec, parameters, Dataset(features=features, target=values))
        assert table.sum() == 5 and table.min() >= 0


def test_the_noise_of_a_spec_meets_its_claim(evaluation: JobSpec) -> None:
    check_spec_privacy(evaluation)
    # One round, sensitivity one record: sigma_i sqrt(h) of about 4 records at epsilon 1.
    counted = evaluation.privacy.noise_sigma * evaluation.honest**0.5 / evaluation.privacy.units
    assert 4.0 < counted < 4.1
    weak = evaluation.privacy.model_copy(update={"noise_sigma": evaluation.privacy.noise_sigma / 2})
    with pytest.raises(InvalidInput, match="claims"):
        check_spec_privacy(evaluation.model_copy(update={"privacy": weak}))


def test_without_noise_the_results_are_those_of_the_records(consortium: Consortium) -> None:
    quiet = {"privacy": PrivacyConfig(mechanism="none", allow_no_noise=True)}
    spec = make(consortium, TARGETS["binary"], **quiet)
    parameters, data = rows(spec)
    found = joint_result(spec, bounded_counts(spec, parameters, data).tolist(), sigma=0.0)
    told = predict(spec.model, spec.data.target, parameters, data.features)
    assert found.metrics["accuracy"].value == pytest.approx(
        accuracy_score(data.target, told >= 0.5)
    )
    assert found.metrics["sensitivity"].value == pytest.approx(
        recall_score(data.target, told >= 0.5)
    )
    assert found.classes["positive"].value == data.target.sum()
    for one in found.bins:
        inside = (told >= one.lower) & (told < one.upper)
        assert one.records.value == inside.sum()
        if inside.any():
            assert one.share.value == pytest.approx(data.target[inside].mean())

    spec = make(consortium, TARGETS["multiclass"], **quiet)
    parameters, data = rows(spec)
    found = joint_result(spec, bounded_counts(spec, parameters, data).tolist(), sigma=0.0)
    told = predict(spec.model, spec.data.target, parameters, data.features).argmax(axis=1)
    recalls = recall_score(data.target, told, average=None)
    assert found.metrics["accuracy"].value == pytest.approx(accuracy_score(data.target, told))
    assert [found.metrics[f"recall {c}"].value for c in "abc"] == pytest.approx(recalls)

    spec = make(consortium, TARGETS["regression"], **quiet)
    parameters, data = rows(spec)
    found = joint_result(spec, bounded_counts(spec, parameters, data).tolist(), sigma=0.0)
    told = predict(spec.model, spec.data.target, parameters, data.features)
    error = np.abs(told - (data.target.astype(np.float64) + 1) * 100)
    assert found.bins[-1].upper == 200 and found.bins[-1].share.value == 1
    assert found.bins[5].share.value == pytest.approx((error < found.bins[5].upper).mean())
    mean = found.metrics["mean_absolute_error"]
    assert mean.low <= error.mean() <= mean.high


def test_intervals_hold_under_the_noise_that_sites_add(evaluation: JobSpec) -> None:
    parameters, data = rows(evaluation)
    counts = bounded_counts(evaluation, parameters, data)
    none = evaluation.privacy.model_copy(update={"noise_sigma": 0.0})
    quiet = evaluation.model_copy(update={"privacy": none})
    truth = joint_result(quiet, counts.tolist(), sigma=0.0)
    sigma = sum_sigma(evaluation, minimum_cohort=4, members=4)
    runs, inside, width = 60, dict.fromkeys(truth.metrics, 0), dict.fromkeys(truth.metrics, 0.0)
    source = np.random.Generator(np.random.PCG64(8)).bytes
    share = share_sigma(evaluation, minimum_cohort=4)
    for _ in range(runs):
        noise = sum(discrete_gaussian.sample(share, len(counts), source=source) for _ in range(4))
        found = joint_result(evaluation, (counts + noise).tolist(), sigma=sigma)
        for name, value in found.metrics.items():
            exact_value = truth.metrics[name].value
            assert exact_value is not None
            inside[name] += value.low <= exact_value <= value.high
            width[name] += value.high - value.low
    # Of 60 runs at 95%, 50 or fewer is a matter of 1 in 10,000: hence the seed.
    assert min(inside.values()) > 50, inside
    assert all(w > 0.01 * runs for w in width.values())


def test_a_cell_over_the_record_bound_is_cut_to_it(consortium: Consortium) -> None:
    quiet = PrivacyConfig(mechanism="none", allow_no_noise=True)
    spec = make(consortium, TARGETS["binary"], privacy=quiet)
    bound = spec.data.max_records * spec.privacy.units
    too_much = np.zeros(spec.dimension, dtype=np.int64)
    too_much[:2] = 50 * bound, -50 * bound
    state = ServerState(
        step=1, parameters=consortium.state.parameters, average=consortium.state.average, moments={}
    )
    world = replace(
        consortium,
        spec=spec,
        signed_spec=consortium.identities[spec.proposer].sign(spec),
        state=state,
        gradients=dict.fromkeys(CAST, too_much),
    )
    transcript = world.transcript()
    shared = with_(transcript, shares=tuple(world.share(name, transcript) for name in CAST[:3]))
    release, after = release_make(shared, agreement=world.agreement, state=state)
    assert release.values == (4 * bound, -4 * bound, *[0] * (spec.dimension - 2))
    assert after is state
    with pytest.raises(InvalidInput, match=r"\(16,\) and int64"):
        contribution_make(
            agreement=world.agreement,
            context=world.context(),
            identity=world.identities["summit"],
            gradient=too_much[:8],
        )


def test_error_bins_double() -> None:
    assert error_edges(4).tolist() == [0.0, 0.125, 0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    ("target", "bins", "said"),
    [("binary", 10, "at most 8"), ("binary", 5, "even"), ("regression", 9, "at most 8")],
)
def test_bins_beyond_the_limit_are_refused(
    consortium: Consortium, target: str, bins: int, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        make(consortium, TARGETS[target], bins=bins)


def test_an_evaluation_counts_records_and_nothing_else(consortium: Consortium) -> None:
    spec = make(consortium, TARGETS["binary"])
    for changes, said in (
        ({"privacy": spec.privacy.dump() | {"clipping_norm": 2.0}}, "clipping_norm 1"),
        ({"privacy": spec.privacy.dump() | {"unit": "organization"}}, "privacy.unit record"),
        ({"aggregation": "masked"}, "packed"),
        ({"job_id": spec.strategy.job_id}, "another job than itself"),
    ):
        with pytest.raises(InvalidInput, match=said):
            JobSpec.parse(spec.dump() | changes)
    with pytest.raises(InvalidInput, match="trains no model"):
        _ = spec.training
    with pytest.raises(InvalidInput, match="16 cells"):
        joint_result(spec, [0] * 4, sigma=0.0)
