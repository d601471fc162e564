"""Gradients of every layer and task against torch's autograd, each record's and their sum."""

import numpy as np
import pytest

from federated.training.data import Dataset
from federated.training.local import mean_gradient, record_gradients
from federated.training.model import module_from
from federated.training.network import initial_parameters, predict_outputs, unflatten
from federated.wire.job import (
    ActivationLayer,
    BinaryTarget,
    Conv2dLayer,
    FlattenLayer,
    LinearLayer,
    ModelSpec,
    MulticlassTarget,
    PoolLayer,
    RegressionTarget,
    UnflattenLayer,
)

torch = pytest.importorskip("torch")
F = torch.nn.functional

BINARY = BinaryTarget(name="y")
CLASSES = MulticlassTarget(name="y", classes=("a", "b", "c"))
SQUARED = RegressionTarget(name="y", lower=0.0, upper=9.0)
HUBER = RegressionTarget(name="y", lower=0.0, upper=9.0, huber_delta=0.3)
LOSSES = {
    BINARY: lambda out, y: F.binary_cross_entropy_with_logits(out[:, 0], y),
    CLASSES: lambda out, y: F.cross_entropy(out, y.long()),
    SQUARED: lambda out, y: 0.5 * F.mse_loss(out[:, 0], y),
    HUBER: lambda out, y: F.huber_loss(out[:, 0], y, delta=0.3),
}


def cnn(outputs, *, stride=(1, 1), padding=(0, 0), pool="maxpool2d", activation="relu"):
    first = Conv2dLayer(
        in_channels=2, out_channels=3, kernel=(3, 2), stride=stride, padding=padding
    )
    second = Conv2dLayer(in_channels=3, out_channels=2, kernel=(2, 2))
    middle = PoolLayer(kind=pool, kernel=(2, 3), stride=(1, 2))
    shape = middle.output(first.output((2, 8, 9)))
    size = int(np.prod(second.output(shape)))
    return ModelSpec(
        layers=(
            UnflattenLayer(channels=2, height=8, width=9),
            first,
            ActivationLayer(kind=activation),
            middle,
            second,
            FlattenLayer(),
            LinearLayer(in_features=size, out_features=4),
            ActivationLayer(kind="tanh"),
            LinearLayer(in_features=4, out_features=outputs),
        )
    )


def mlp(outputs):
    return ModelSpec(
        layers=(
            LinearLayer(in_features=5, out_features=4),
            ActivationLayer(kind="sigmoid"),
            LinearLayer(in_features=4, out_features=outputs),
        )
    )


MODELS = {
    "cnn, binary": (cnn(1), BINARY),
    "cnn, stride and padding": (cnn(3, stride=(2, 1), padding=(2, 1)), CLASSES),
    "cnn, mean pooling": (cnn(3, pool="avgpool2d", activation="sigmoid"), CLASSES),
    "mlp, classes": (mlp(3), CLASSES),
    "mlp, squared": (mlp(1), SQUARED),
    "mlp, huber": (mlp(1), HUBER),
}


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_autograd(name):
    model, target = MODELS[name]
    generator = np.random.default_rng(5)
    features = generator.uniform(-1, 1, (7, model.inputs)).astype(np.float32)
    values = generator.uniform(-1, 1, 7).astype(np.float32)
    if target.kind != "regression":
        values = generator.integers(0, max(2, target.outputs), 7).astype(np.float32)
    parameters = (initial_parameters(model) * 1.5).astype(np.float32).astype(np.float64)
    module = module_from(model, parameters).double()
    inputs, wanted = torch.tensor(features).double(), torch.tensor(values).double()

    ours = record_gradients(
        model,
        unflatten(model, parameters),
        features.astype(np.float64),
        values.astype(np.float64),
        target=target,
    )
    for row in range(7):
        expected = autograd(module, LOSSES[target], inputs[row : row + 1], wanted[row : row + 1])
        np.testing.assert_allclose(ours[row], expected, rtol=1e-9, atol=1e-12)
    mean = mean_gradient(model, parameters, Dataset(features, values), target=target)
    np.testing.assert_allclose(mean, autograd(module, LOSSES[target], inputs, wanted), atol=1e-12)
    with torch.no_grad():
        np.testing.assert_allclose(
            predict_outputs(model, parameters, features), module(inputs).numpy(), atol=1e-12
        )


def autograd(module, loss, inputs, wanted):
    module.zero_grad()
    loss(module(inputs), wanted).backward()
    return torch.cat([p.grad.reshape(-1) for p in module.parameters()]).numpy()


def test_of_equal_largest_values_the_first_gets_the_gradient_as_in_torch():
    model, target = MODELS["cnn, binary"]
    features = np.zeros((1, model.inputs), np.float32)  # every window of the pool is a tie
    parameters = initial_parameters(model).astype(np.float32).astype(np.float64)
    module = module_from(model, parameters).double()
    ours = record_gradients(
        model, unflatten(model, parameters), features.astype(float), np.ones(1), target=target
    )
    expected = autograd(
        module, LOSSES[target], torch.tensor(features).double(), torch.ones(1).double()
    )
    np.testing.assert_allclose(ours[0], expected, atol=1e-12)
