"""Tables on which one bit of another record's product becomes whole grid units.

``python -m tests.federated.training.adversarial`` prints the digest of all that is computed of
them; every machine prints the same one.
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np

from federated.privacy.config import PrivacyConfig
from federated.training import local
from federated.training.data import Dataset
from federated.training.local import bounded_gradient_sum
from federated.training.tally import bounded_counts
from federated.wire.evaluation import Evaluation
from federated.wire.job import (
    ActivationLayer,
    BinaryTarget,
    Conv2dLayer,
    DataDictionary,
    FlattenLayer,
    LinearLayer,
    ModelSpec,
    MulticlassTarget,
    NumericFeature,
    PoolLayer,
    RegressionTarget,
    UnflattenLayer,
)
from tests.federated.protocol.conftest import make_spec

UNITS = 256
PRIVACY = PrivacyConfig(units=UNITS, clipping_norm=1.0).spec(
    rounds=10, minimum_cohort=3, dimension=1
)
BINARY = BinaryTarget(name="y")
CLASSES = MulticlassTarget(name="y", classes=("a", "b", "c"))
NUMBER = RegressionTarget(name="y", lower=-1, upper=1)
HUBER = RegressionTarget(name="y", lower=-1, upper=1, huber_delta=0.25)
INPUTS = 24
LINEAR = ModelSpec(layers=(LinearLayer(in_features=INPUTS, out_features=1),))


def _dense(outputs: int) -> ModelSpec:
    widths, kinds = (INPUTS, 17, 9, 6), ("tanh", "sigmoid", "relu")
    layers = []
    for before, after, kind in zip(widths, widths[1:], kinds, strict=False):
        layers += [LinearLayer(in_features=before, out_features=after), ActivationLayer(kind=kind)]
    return ModelSpec(layers=(*layers, LinearLayer(in_features=6, out_features=outputs)))


def _convolutional(outputs: int) -> ModelSpec:
    return ModelSpec(
        layers=(
            UnflattenLayer(channels=1, height=4, width=6),
            Conv2dLayer(in_channels=1, out_channels=3, kernel=(3, 2), padding=(1, 1)),
            ActivationLayer(kind="tanh"),
            PoolLayer(kind="avgpool2d", kernel=(2, 3), stride=(1, 1)),
            Conv2dLayer(in_channels=3, out_channels=2, kernel=(2, 2)),
            PoolLayer(kind="maxpool2d", kernel=(2, 2), stride=(1, 1)),
            FlattenLayer(),
            LinearLayer(in_features=6, out_features=outputs),
        )
    )


class Case(NamedTuple):
    model: ModelSpec
    target: BinaryTarget | MulticlassTarget | RegressionTarget


CASES = {
    "logistic": Case(LINEAR, BINARY),
    "squared": Case(LINEAR, NUMBER),
    "dense": Case(_dense(1), BINARY),
    "dense classes": Case(_dense(3), CLASSES),
    "dense huber": Case(_dense(1), HUBER),
    "convolutional": Case(_convolutional(1), BINARY),
    "convolutional classes": Case(_convolutional(3), CLASSES),
}


def near_zero(seed: int, count: int) -> tuple[Dataset, np.ndarray]:
    """Rows of +-1 [count, INPUTS], and weights that each of them multiplies to 0 within 1e-15."""
    generator = np.random.default_rng(seed)
    rows = generator.choice([-1.0, 1.0], (count, INPUTS)).astype(np.float32)
    null = np.linalg.svd(rows.astype(np.float64))[2][count:]
    return Dataset(rows, np.ones(count, np.float32)), null.T @ generator.normal(size=len(null))


def half_units(seed: int, count: int) -> tuple[Dataset, np.ndarray]:
    """As ``near_zero``, for squared errors: every coordinate of a gradient is half a grid unit.

    Its last bit decides whether the record's vector is 0 or of norm 5.
    """
    rows, weights = near_zero(seed, count)
    return Dataset(rows.features, np.zeros(count, np.float32)), np.append(weights, 0.5 / UNITS)


def random_records(case: Case, count: int, seed: int) -> Dataset:
    """Records of features in [-1, 1], some of them repeated, 0 or +-1."""
    generator = np.random.default_rng(seed)
    features = generator.uniform(-1, 1, (count, INPUTS))
    features = np.where(generator.random(features.shape) < 0.3, np.sign(features), features)
    if isinstance(case.target, RegressionTarget):
        target = generator.uniform(-1, 1, count)
    else:
        classes = 2 if isinstance(case.target, BinaryTarget) else 3
        target = generator.integers(0, classes, count).astype(np.float64)
    return Dataset(features.astype(np.float32), target.astype(np.float32))


def parameters_of(model: ModelSpec, seed: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=model.parameters) * scale


def gradient_sum(case: Case, parameters: np.ndarray, rows: Dataset) -> np.ndarray:
    return bounded_gradient_sum(case.model, parameters, rows, PRIVACY, target=case.target)


@cache
def evaluation_of(case: Case):
    """The spec of a joint evaluation of the case's model."""
    bins = 3 if isinstance(case.target, MulticlassTarget) else 8
    data = DataDictionary(
        dataset="ward",
        features=tuple(
            NumericFeature(name=f"x{place}", lower=-1, upper=1) for place in range(INPUTS)
        ),
        target=case.target,
        nominal_records=1000,
    )
    trained = make_spec()
    strategy = Evaluation(job_id=trained.job_id, spec="0" * 64, round=1, bins=bins)
    return trained.model_copy(
        update={"data": data, "model": case.model, "strategy": strategy, "privacy": PRIVACY}
    )


def counts(case: Case, parameters: np.ndarray, rows: Dataset) -> np.ndarray:
    return bounded_counts(evaluation_of(case), parameters, rows)


def without(rows: Dataset, place: int) -> Dataset:
    return Dataset(np.delete(rows.features, place, 0), np.delete(rows.target, place, 0))


def alone(rows: Dataset, place: int) -> Dataset:
    return Dataset(rows.features[place : place + 1], rows.target[place : place + 1])


def blanked(rows: Dataset, place: int) -> Dataset:
    """The same rows, one of them with nothing that could be used."""
    features, target = rows.features.copy(), rows.target.copy()
    features[place], target[place] = np.nan, np.nan
    return Dataset(features, target)


def results() -> Iterator[np.ndarray]:
    """Everything of all cases, in several sizes of chunks."""
    budget = local._CHUNK_BYTES
    for number, case in enumerate(CASES.values()):
        parameters = parameters_of(case.model, number)
        for count in (1, 7, 70):
            rows = random_records(case, count, count)
            for records in (1, 9, 4096):
                local._CHUNK_BYTES = 8 * case.model.parameters * records
                yield gradient_sum(case, parameters, rows)
            local._CHUNK_BYTES = budget
            yield counts(case, parameters, rows)


if __name__ == "__main__":
    print(hashlib.sha256(b"".join(found.tobytes() for found in results())).hexdigest())
