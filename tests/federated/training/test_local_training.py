"""What an organization contributes as a whole: local epochs, one clipped and rounded update."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.privacy.config import PrivacyConfig
from federated.training.data import Dataset
from federated.training.local import bounded_update, local_train, mean_gradient
from federated.training.network import initial_parameters
from federated.wire.job import (
    ActivationLayer,
    BinaryTarget,
    FedAvg,
    FedProx,
    FedSGD,
    LinearLayer,
    ModelSpec,
)
from tests.federated.protocol.conftest import make_spec

TARGET = BinaryTarget(name="y")
MODEL = ModelSpec(
    layers=(
        LinearLayer(in_features=3, out_features=4),
        ActivationLayer(kind="tanh"),
        LinearLayer(in_features=4, out_features=1),
    )
)


def rows(count=50, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.uniform(-1, 1, (count, 3)).astype(np.float32)
    return Dataset(features, (features.sum(axis=1) > 0).astype(np.float32))


def strategy(kind=FedAvg, **options):
    return kind(rounds=3, average_from=1, **options)


def trained(chosen, data=None, order="a"):
    start = initial_parameters(MODEL)
    return local_train(
        MODEL, start, rows() if data is None else data, target=TARGET, strategy=chosen, order=order
    )


def spec_of(chosen, clipping_norm=1.0, units=None):
    privacy = PrivacyConfig(unit="organization", clipping_norm=clipping_norm, units=units)
    return make_spec(model=MODEL, strategy=chosen, privacy=privacy)


def test_one_full_batch_is_one_step_of_gradient_descent():
    start, data = initial_parameters(MODEL), rows()
    chosen = strategy(batch_size=100, local_learning_rate=0.5)
    expected = start - 0.5 * mean_gradient(MODEL, start, data, target=TARGET)
    np.testing.assert_allclose(trained(chosen), expected, atol=1e-15)


def test_minibatches_are_those_of_torch_sgd():
    torch = pytest.importorskip("torch")
    from federated.training.model import module_from

    start, data = initial_parameters(MODEL), rows(7)
    start = start.astype(np.float32).astype(np.float64)
    chosen = strategy(FedProx, batch_size=1, local_epochs=2, local_learning_rate=0.1, mu=0.7)
    ours = local_train(MODEL, start, data, target=TARGET, strategy=chosen, order="x")
    import hashlib

    seed = int.from_bytes(hashlib.sha256(b"minibatches/x").digest(), "big")
    generator = np.random.Generator(np.random.PCG64(seed))
    module = module_from(MODEL, start).double()
    begun = [p.detach().clone() for p in module.parameters()]
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        for row in generator.permutation(7):
            optimizer.zero_grad()
            logit = module(torch.tensor(data.features[row]).double())[0]
            wanted = torch.tensor(data.target[row]).double()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, wanted)
            near = sum(((p - b) ** 2).sum() for p, b in zip(module.parameters(), begun))
            (loss + 0.35 * near).backward()
            optimizer.step()
    theirs = torch.cat([p.detach().reshape(-1) for p in module.parameters()]).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_the_order_of_minibatches_is_its_texts_alone():
    chosen = strategy(batch_size=8, local_epochs=2)
    assert (trained(chosen) == trained(chosen)).all()
    assert (trained(chosen) != trained(chosen, order="b")).any()


def test_fedprox_stays_nearer_and_is_fedavg_at_mu_zero():
    start, local = initial_parameters(MODEL), {"local_epochs": 20, "local_learning_rate": 0.5}
    average = trained(strategy(**local))
    assert (trained(strategy(FedProx, mu=0.0, **local)) == average).all()
    near = trained(strategy(FedProx, mu=1.0, **local))
    assert np.linalg.norm(near - start) < 0.7 * np.linalg.norm(average - start)


@given(
    seed=st.integers(0, 50),
    rate=st.floats(1e-3, 1e3),
    norm=st.sampled_from([1e-3, 1.0, 50.0]),
    units=st.sampled_from([5, 256, 2**20]),
    kind=st.sampled_from([FedSGD, FedAvg, FedProx]),
)
def test_any_update_is_bounded_in_integers(seed, rate, norm, units, kind):
    local = {} if kind is FedSGD else {"local_learning_rate": rate, "batch_size": 5}
    spec = spec_of(strategy(kind, **local), clipping_norm=norm, units=units)
    update = bounded_update(spec, initial_parameters(MODEL), rows(12, seed), order="a")
    assert update.dtype == np.int64
    assert sum(int(value) ** 2 for value in update) <= units**2


def test_an_update_is_the_rounded_pseudo_gradient():
    chosen = strategy(local_learning_rate=0.1, batch_size=16)
    spec = spec_of(chosen, clipping_norm=10.0)
    start = initial_parameters(MODEL)
    update = bounded_update(spec, start, rows(), order="a")
    grid = spec.privacy.clipping_norm / spec.privacy.units
    assert np.abs(update * grid - (start - trained(chosen))).max() <= grid / 2 + 1e-12


def test_an_update_that_diverges_counts_as_nothing():
    linear = ModelSpec(layers=(LinearLayer(in_features=3, out_features=1),))
    from federated.wire.job import RegressionTarget

    target = RegressionTarget(name="y", lower=0.0, upper=1.0)
    chosen = strategy(local_learning_rate=1e9, local_epochs=100, batch_size=5)
    spec = make_spec(
        model=linear,
        strategy=chosen,
        privacy=PrivacyConfig(unit="organization"),
        target=target,
    )
    assert not bounded_update(spec, np.zeros(4), rows(), order="a").any()


def test_local_epochs_with_unit_record_are_refused_with_the_reason():
    with pytest.raises(InvalidInput, match="fedprox needs privacy.unit organization.*use fedsgd"):
        make_spec(model=MODEL, strategy=strategy(FedProx), privacy=PrivacyConfig())


@pytest.mark.parametrize("kind", [FedSGD, FedAvg, FedProx])
def test_an_organization_whose_rows_are_all_blanked_contributes_zero(kind):
    data, start = rows(), initial_parameters(MODEL) + 0.1
    blank = Dataset(np.full_like(data.features, np.nan), np.full_like(data.target, np.nan))
    spec = spec_of(strategy(kind))
    assert bounded_update(spec, start, data, order="a").any()
    assert not bounded_update(spec, start, blank, order="a").any()


def test_a_blanked_row_counts_as_one_that_is_not_there():
    data = rows()
    strange = Dataset(data.features.copy(), data.target.copy())
    strange.features[3, 1], strange.target[7], strange.target[9] = np.inf, np.nan, 2
    rest = Dataset(np.delete(data.features, [3, 7, 9], 0), np.delete(data.target, [3, 7, 9], 0))
    for chosen in (strategy(), strategy(FedProx)):
        assert (trained(chosen, strange) == trained(chosen, rest)).all()
    start = initial_parameters(MODEL)
    found = (mean_gradient(MODEL, start, some, target=TARGET) for some in (strange, rest))
    assert np.array_equal(*found)
