import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig
from federated.training.data import Dataset
from federated.training.local import bound_records, record_gradients
from federated.training.local import bounded_gradient_sum as gradient_sum
from federated.training.model import module_from
from federated.training.network import initial_parameters, unflatten
from federated.training.task import predict
from federated.wire.job import ActivationLayer, BinaryTarget, LinearLayer, ModelSpec

TARGET = BinaryTarget(name="y")

LOGISTIC = ModelSpec(layers=(LinearLayer(in_features=3, out_features=1),))
MLP = ModelSpec(
    layers=(
        LinearLayer(in_features=3, out_features=5),
        ActivationLayer(kind="relu"),
        LinearLayer(in_features=5, out_features=4),
        ActivationLayer(kind="tanh"),
        LinearLayer(in_features=4, out_features=4),
        ActivationLayer(kind="sigmoid"),
        LinearLayer(in_features=4, out_features=1),
    )
)
ROWS = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
    elements=st.floats(allow_nan=True, allow_infinity=True),
)


def bounded_gradient_sum(*arguments):
    return gradient_sum(*arguments, target=TARGET)


def privacy(units=256, clipping_norm=1.0):
    config = PrivacyConfig(units=units, clipping_norm=clipping_norm)
    return config.spec(rounds=10, minimum_cohort=3, dimension=1)


def records(count, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.uniform(-1, 1, (count, 3)).astype(np.float32)
    return Dataset(features, generator.integers(0, 2, count).astype(np.float32))


@given(
    rows=ROWS,
    units=st.sampled_from([1, 2, 7, 256, 2**20]),
    clip=st.sampled_from([1e-3, 1.0, 1e5]),
)
def test_any_record_is_bounded_in_integers(rows, units, clip):
    bounded = bound_records(rows, privacy(units, clip))
    norms = [sum(int(value) ** 2 for value in row) for row in bounded]
    assert max(norms) <= units**2


@given(rows=hnp.arrays(np.float64, (4, 6), elements=st.floats(-0.05, 0.05)))
def test_short_records_are_rounded_to_nearest_and_not_scaled(rows):
    # Within a hair of the nearest grid point: a tie may round either way.
    assert np.abs(bound_records(rows, privacy()) - rows * 256).max() <= 0.5 + 1e-9


def test_long_records_keep_their_direction():
    bounded = bound_records(np.array([[3e200, -4e200], [0.0, 1e-300]]), privacy(units=1000))
    assert bounded.tolist() == [[600, -800], [0, 0]]


def test_rounding_that_would_lengthen_a_record_truncates_it():
    # 16 equal coordinates of 1.75 grid units at 7 units: rounded up, their norm would be 8.
    assert bound_records(np.ones((1, 16)), privacy(units=7)).tolist() == [[1] * 16]


@pytest.mark.parametrize("model", [LOGISTIC, MLP], ids=["logistic", "mlp"])
def test_one_record_moves_the_sum_by_at_most_the_units(model):
    data, parameters = records(40), initial_parameters(model) * 3
    whole = bounded_gradient_sum(model, parameters, data, privacy())
    for out in range(len(data)):
        rest = Dataset(np.delete(data.features, out, 0), np.delete(data.target, out, 0))
        moved = whole - bounded_gradient_sum(model, parameters, rest, privacy())
        assert 0 < int(moved @ moved) <= 256**2


@pytest.mark.parametrize("model", [LOGISTIC, MLP], ids=["logistic", "mlp"])
def test_gradients_are_those_of_autograd(model):
    torch = pytest.importorskip("torch")
    data, parameters = records(12), initial_parameters(model) + 0.1
    module = module_from(model, parameters).double()
    ours = record_gradients(
        model,
        unflatten(model, parameters.astype(np.float32)),
        data.features.astype(np.float64),
        data.target.astype(np.float64),
        target=TARGET,
    )
    for row in range(len(data)):
        module.zero_grad()
        logit = module(torch.tensor(data.features[row]).double())
        torch.nn.functional.binary_cross_entropy_with_logits(
            logit[0], torch.tensor(data.target[row]).double()
        ).backward()
        theirs = torch.cat([p.grad.reshape(-1) for p in module.parameters()])
        np.testing.assert_allclose(ours[row], theirs.numpy(), rtol=1e-9, atol=1e-12)


def test_prediction_is_the_modules():
    torch = pytest.importorskip("torch")
    data, parameters = records(12), initial_parameters(MLP)
    with torch.no_grad():
        theirs = torch.sigmoid(module_from(MLP, parameters)(torch.tensor(data.features)))[:, 0]
    np.testing.assert_allclose(predict(MLP, TARGET, parameters, data.features), theirs, atol=1e-6)


def test_chunks_change_nothing(monkeypatch):
    data, parameters = records(100), initial_parameters(MLP)
    whole = bounded_gradient_sum(MLP, parameters, data, privacy())
    monkeypatch.setattr("federated.training.local._CHUNK_BYTES", 8 * MLP.parameters * 7)
    assert (bounded_gradient_sum(MLP, parameters, data, privacy()) == whole).all()


def test_a_record_that_overflows_counts_as_nothing():
    model = ModelSpec(layers=(*MLP.layers[:2], LinearLayer(in_features=5, out_features=1)))
    parameters = np.full(model.parameters, 1e200)
    data = Dataset(np.ones((1, 3), np.float32), np.ones(1, np.float32))
    assert bounded_gradient_sum(model, parameters, data, privacy()).max() <= 256


def test_no_records_sum_to_zero():
    empty = Dataset(np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
    assert not bounded_gradient_sum(LOGISTIC, np.zeros(4), empty, privacy()).any()


@pytest.mark.parametrize(
    ("parameters", "features", "reason"),
    [
        (np.zeros(5), np.zeros((1, 3)), r"shape \[5\], the model takes \[4\]"),
        (np.array([0, np.nan, 0, 0]), np.zeros((1, 3)), "not finite"),
        (np.zeros(4), np.zeros((1, 2)), r"takes \[records, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused(parameters, features, reason):
    data = Dataset(features.astype(np.float32), np.zeros(1, np.float32))
    with pytest.raises(InvalidInput, match=reason):
        bounded_gradient_sum(LOGISTIC, parameters, data, privacy())
