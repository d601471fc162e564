"""What a site contributes of its records before the noise: a bounded integer vector.

Floating-point errors are ignored whatever the process asks for (``np.seterr``): a row that
underflows or overflows must not end a round.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.training.data import Dataset
from federated.training.network import (
    Floats,
    Tensors,
    backward,
    chunk_records,
    forward,
    tensors_of,
    unflatten,
)
from federated.training.products import row_sum
from federated.training.task import loss_error
from federated.training.usable import usable
from federated.wire.data import Target
from federated.wire.job import JobSpec, PrivacySpec
from federated.wire.model import ModelSpec
from federated.wire.strategy import FedAvg, FedProx

_CHUNK_BYTES = 4 << 20


def bounded_update(
    spec: JobSpec, parameters: NDArray[np.floating], dataset: Dataset, *, order: str
) -> NDArray[np.int64]:
    """A site's vector of one attempt, int64 [d] in grid units of ``clipping_norm / units``.

    Unit record: ``bounded_gradient_sum``. Unit organization: one update, clipped and rounded as a
    whole to an integer L2 norm of at most ``units``: the mean gradient (FedSGD), or the
    pseudo-gradient ``parameters`` minus the locally trained ones (FedAvg, FedProx). ``order`` is
    any text; it seeds the order of minibatches. No noise is added here. Deterministic.

    Raises InvalidInput where the parameters or the number of columns do not fit the model, or a
    parameter is not finite; a record's values never raise (``usable``).
    """
    target, privacy, strategy = spec.data.target, spec.privacy, spec.training
    if privacy.unit == "record":
        return bounded_gradient_sum(spec.model, parameters, dataset, privacy, target=target)
    if strategy.kind == "fedsgd":
        update = mean_gradient(spec.model, parameters, dataset, target=target)
    else:
        trained = local_train(
            spec.model, parameters, dataset, target=target, strategy=strategy, order=order
        )
        with np.errstate(all="ignore"):
            update = np.asarray(parameters, dtype=np.float64) - trained
    return np.asarray(bound_records(update[None, :], privacy)[0])


def bounded_gradient_sum(
    model: ModelSpec,
    parameters: NDArray[np.floating],
    dataset: Dataset,
    privacy: PrivacySpec,
    *,
    target: Target,
) -> NDArray[np.int64]:
    """The sum over records of the clipped, rounded gradient, int64 [d] in grid units.

    Each record is clipped and rounded **by itself**, so blanking or removing one moves the sum by
    exactly its own integer vector, of L2 norm at most ``units``; rounding the sum would cost
    sqrt(d) of sensitivity. Raises InvalidInput as ``bounded_update`` does.
    """
    tensors, dataset = _checked(model, parameters, dataset, target)
    total = np.zeros(model.parameters, dtype=np.int64)
    step = chunk_records(model, budget=_CHUNK_BYTES)
    for start in range(0, len(dataset), step):
        gradients = record_gradients(
            model,
            tensors,
            dataset.features[start : start + step].astype(np.float64),
            dataset.target[start : start + step].astype(np.float64),
            target=target,
        )
        total += bound_records(gradients, privacy).sum(axis=0, dtype=np.int64)
    return total


def record_gradients(
    model: ModelSpec, tensors: Tensors, features: Floats, values: Floats, *, target: Target
) -> Floats:
    """Each record's gradient of its loss, float64 [n, d]."""
    with np.errstate(all="ignore"):
        activations = forward(model, tensors, features)
        error = loss_error(target, activations[-1], values)
        return backward(model, tensors, activations, error, each=True)


def mean_gradient(
    model: ModelSpec, parameters: NDArray[np.floating], dataset: Dataset, *, target: Target
) -> Floats:
    """The gradient of the mean loss over the usable records, float64 [d]; zeros of none.

    The denominator is their number. It is private, but so is the whole update of an organization,
    which is what is clipped: with all rows blanked the update is zero.
    """
    tensors, dataset = _checked(model, parameters, dataset, target)
    total = np.zeros(model.parameters)
    step = chunk_records(model, budget=_CHUNK_BYTES)
    for start in range(0, len(dataset), step):
        features = dataset.features[start : start + step].astype(np.float64)
        values = dataset.target[start : start + step].astype(np.float64)
        total += _gradient_sum(model, tensors, features, values, target=target)
    return total / max(1, len(dataset))


def local_train(
    model: ModelSpec,
    parameters: NDArray[np.floating],
    dataset: Dataset,
    *,
    target: Target,
    strategy: FedAvg | FedProx,
    order: str,
) -> Floats:
    """Parameters float64 [d] after ``local_epochs`` of minibatch SGD from the given ones.

    FedProx adds mu (x - x_round) to every gradient (arXiv 1812.06127, eq. 2). A run that diverges
    ends in values that are not finite; ``bound_records`` makes its update nothing.
    """
    _, dataset = _checked(model, parameters, dataset, target)
    start = np.array(parameters, dtype=np.float64)
    now = start.copy()
    mu = strategy.mu if isinstance(strategy, FedProx) else 0.0
    seed = int.from_bytes(minibatch_seed(order), "big")
    generator = np.random.Generator(np.random.PCG64(seed))
    for _ in range(strategy.local_epochs):
        rows = generator.permutation(len(dataset))
        for at in range(0, len(rows), strategy.batch_size):
            batch = rows[at : at + strategy.batch_size]
            gradient = _gradient_sum(
                model,
                tensors_of(model, now),
                dataset.features[batch].astype(np.float64),
                dataset.target[batch].astype(np.float64),
                target=target,
            )
            gradient /= len(batch)
            with np.errstate(all="ignore"):
                if mu:
                    gradient += mu * (now - start)
                now -= strategy.local_learning_rate * gradient
    return now


def minibatch_seed(order: str) -> bytes:
    """The 32 bytes, big-endian, that seed PCG64 for an order of minibatches."""
    return hashlib.sha256(f"minibatches/{order}".encode()).digest()


@np.errstate(all="ignore")
def bound_records(gradients: Floats, privacy: PrivacySpec) -> NDArray[np.int64]:
    """Clip and round each row of [n, d] to the grid; integer L2 norms are at most ``units``.

    A row is one record's gradient, or one organization's update. It is scaled to norm
    ``clipping_norm`` where it is longer, then rounded to the nearest grid point; where that is too
    long it is truncated toward zero instead. A row that overflowed becomes zero: to refuse it
    would tell the coordinator about it. Every row of the result follows from that row alone.
    """
    units = privacy.units
    # Few buffers at once: a row of a million parameters is 8 MB.
    finite = np.isfinite(gradients).all(axis=1, keepdims=True)
    rows = gradients if finite.all() else np.where(finite, gradients, 0.0)
    # Divided by its largest entry first: the squares of a huge row would overflow.
    largest = np.maximum(rows.max(axis=1, keepdims=True), -rows.min(axis=1, keepdims=True))
    shape = np.divide(rows, largest, out=np.zeros_like(rows), where=largest > 0)
    spread = np.sqrt(row_sum(shape * shape))[:, None]  # of 1 to sqrt(d), or 0
    length = np.minimum(spread * (largest * (units / privacy.clipping_norm)), units)
    scaled = shape
    scaled *= np.divide(length, spread, out=np.zeros_like(length), where=spread > 0)
    bounded: NDArray[np.int64] = np.rint(scaled).astype(np.int64)
    over = _squared_norms(bounded) > units**2
    bounded[over] = np.trunc(scaled[over]).astype(np.int64)
    # None is left: truncation shortens, and units^2 <= 2^40 is far above float error.
    bounded[_squared_norms(bounded) > units**2] = 0
    return bounded


def _gradient_sum(
    model: ModelSpec, tensors: Tensors, features: Floats, values: Floats, *, target: Target
) -> Floats:
    with np.errstate(all="ignore"):
        activations = forward(model, tensors, features)
        error = loss_error(target, activations[-1], values)
        return backward(model, tensors, activations, error, each=False)


def _checked(
    model: ModelSpec, parameters: NDArray[np.floating], dataset: Dataset, target: Target
) -> tuple[Tensors, Dataset]:
    """The model's tensors and the records that can be used, each seen by itself."""
    tensors = unflatten(model, parameters)
    if dataset.features.ndim != 2 or dataset.features.shape[1] != model.inputs:
        raise InvalidInput(
            f"features: shape {list(dataset.features.shape)}, "
            f"the model takes [records, {model.inputs}]"
        )
    return tensors, usable(dataset, target)


def _squared_norms(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.asarray(np.einsum("ij,ij->i", rows, rows))
