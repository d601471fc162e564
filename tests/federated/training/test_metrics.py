import subprocess
import sys

import numpy as np
import pytest

from federated.errors import InvalidInput
from federated.training.data import Dataset
from federated.training.metrics import auc, predict, score
from federated.wire.job import (
    BinaryTarget,
    LinearLayer,
    ModelSpec,
    MulticlassTarget,
    RegressionTarget,
)

TARGET = BinaryTarget(name="y")
LOGISTIC = ModelSpec(layers=(LinearLayer(in_features=2, out_features=1),))


def test_auc_counts_the_pairs_in_order():
    assert auc(np.array([0, 1, 0, 1.0]), np.array([0.1, 0.2, 0.3, 0.9])) == 0.75


def test_auc_of_one_class_is_undefined():
    assert auc(np.ones(3), np.array([0.1, 0.2, 0.3])) is None


def test_prediction_of_a_logistic_model_by_hand():
    rows = np.array([[1.5, 1.0], [1e4, 0], [-1e4, 0]])
    out = predict(LOGISTIC, TARGET, np.array([1.0, -2.0, 0.5]), rows)
    assert out == pytest.approx([0.5, 1, 0])


def test_features_of_another_width_are_refused():
    with pytest.raises(InvalidInput, match="the model takes"):
        predict(LOGISTIC, TARGET, np.zeros(3), np.zeros((1, 5)))


def test_training_and_accounting_load_no_torch():
    script = (
        "import sys, federated.training.local, federated.training.server, federated.training.data,"
        "federated.training.metrics, federated.training.model, federated.privacy.config,"
        "federated.sdk.benchmark; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def rows(features, target):
    return Dataset(np.array(features, np.float32), np.array(target, np.float32))


def test_multiclass_is_scored_by_accuracy_and_each_class_against_the_rest():
    target = MulticlassTarget(name="y", classes=("a", "b", "c"))
    model = ModelSpec(layers=(LinearLayer(in_features=3, out_features=3),))
    parameters = np.concatenate([np.eye(3).reshape(-1), np.zeros(3)])  # logits are the inputs
    held_out = rows([[2, 1, 0], [0, 2, 1], [2, 1, 0], [0, 1, 2]], [0, 1, 1, 0])
    found = score(model, target, parameters, held_out)
    assert found["accuracy"] == 0.5
    # No row is of class c: it is left out of the mean. The pairs of a: 2>0, 2=2, 0=0, 0<2.
    assert found["macro_auc"] == pytest.approx((0.5 + 0.75) / 2)
    probabilities = predict(model, target, parameters, held_out.features)
    assert probabilities.shape == (4, 3)
    assert probabilities.sum(axis=1) == pytest.approx([1] * 4)
    one_class = rows([[2, 1, 0]], [0])
    assert score(model, target, parameters, one_class)["macro_auc"] is None


def test_regression_is_scored_in_the_targets_unit():
    target = RegressionTarget(name="y", lower=0.0, upper=20.0)
    model = ModelSpec(layers=(LinearLayer(in_features=1, out_features=1),))
    identity = np.array([1.0, 0.0])
    held_out = rows([[-0.5], [0.5], [3.0]], [-0.6, 0.6, 0.8])  # 4, 16, 18; predicted 5, 15, 20
    assert predict(model, target, identity, held_out.features).tolist() == [5.0, 15.0, 20.0]
    found = score(model, target, identity, held_out)
    assert found["rmse"] == pytest.approx((6 / 3) ** 0.5, rel=1e-6)
    spread = np.var([4, 16, 18]) * 3
    assert found["r2"] == pytest.approx(1 - 6 / spread, rel=1e-6)
    assert score(model, target, identity, rows([[0.1]], [0.1]))["r2"] is None
