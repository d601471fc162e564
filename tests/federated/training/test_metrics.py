import subprocess
import sys

import numpy as np
import pytest

from federated.errors import InvalidInput
from federated.training.metrics import auc, predict
from federated.wire.job import BinaryTarget, LinearLayer, ModelSpec

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
        "federated.client.benchmark; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
