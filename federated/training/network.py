"""A ModelSpec evaluated in numpy: forward, and each record's own gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.wire.job import LinearLayer, ModelSpec

Floats = NDArray[np.float64]
Tensors = list[tuple[Floats, Floats]]


def unflatten(spec: ModelSpec, parameters: NDArray[np.floating]) -> Tensors:
    """Weight (out x in) and bias (out) of each linear layer, in order.

    ``parameters`` is the flat vector of ModelSpec's order: layer by layer, each weight row-major
    before its bias. Raises InvalidInput on another length or a value that is not finite.
    """
    flat = np.asarray(parameters, dtype=np.float64)
    if flat.shape != (spec.parameters,):
        raise InvalidInput(
            f"parameters: shape {list(flat.shape)}, the model takes [{spec.parameters}]"
        )
    if not np.isfinite(flat).all():
        raise InvalidInput("parameters: a value is not finite")
    tensors, at = [], 0
    for layer in spec.layers:
        if isinstance(layer, LinearLayer):
            size = layer.out_features * layer.in_features
            weight = flat[at : at + size].reshape(layer.out_features, layer.in_features)
            bias = flat[at + size : at + size + layer.out_features]
            tensors.append((weight, bias))
            at += size + layer.out_features
    return tensors


def flatten(tensors: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]]) -> Floats:
    """The flat float64 vector of the linear layers' (weight, bias) pairs."""
    parts = [np.asarray(part, dtype=np.float64).reshape(-1) for pair in tensors for part in pair]
    return np.concatenate(parts)


def initial_parameters(spec: ModelSpec) -> Floats:
    """Where training begins when nobody brings weights.

    Zeros for one linear layer (its loss is convex); else uniform in +-1/sqrt(inputs) for weight
    and bias, seeded by the spec's digest, so that every site finds the same vector.
    """
    linear = [layer for layer in spec.layers if isinstance(layer, LinearLayer)]
    if len(linear) == 1:
        return np.zeros(spec.parameters)
    generator = np.random.Generator(np.random.PCG64(int(spec.digest(), 16)))
    tensors = []
    for layer in linear:
        bound = layer.in_features**-0.5
        weight = generator.uniform(-bound, bound, (layer.out_features, layer.in_features))
        tensors.append((weight, generator.uniform(-bound, bound, layer.out_features)))
    return flatten(tensors)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1 + small))


def predict_logits(
    spec: ModelSpec, parameters: NDArray[np.floating], features: NDArray[np.floating]
) -> Floats:
    """The logit of each record, float64 [n], of features [n, width]. Needs no torch."""
    values = _records(spec, features)
    with np.errstate(over="ignore", invalid="ignore"):
        return _forward(spec, unflatten(spec, parameters), values)[-1][:, 0]


def predict(
    spec: ModelSpec, parameters: NDArray[np.floating], features: NDArray[np.floating]
) -> Floats:
    """The probability of the positive class of each record, float64 [n]."""
    return sigmoid(predict_logits(spec, parameters, features))


def record_gradients(spec: ModelSpec, tensors: Tensors, features: Floats, target: Floats) -> Floats:
    """Each record's gradient of binary cross-entropy with logits, float64 [n, d].

    Backpropagation by hand: a record's gradient of a linear layer's weight is the outer product
    of the error at its output and the record's input to it.
    """
    activations = _forward(spec, tensors, features)
    error = sigmoid(activations[-1]) - target[:, None]
    parts: list[Floats] = []
    linear = len(tensors)
    for position in reversed(range(len(spec.layers))):
        layer = spec.layers[position]
        before, after = activations[position], activations[position + 1]
        if isinstance(layer, LinearLayer):
            linear -= 1
            weight = np.einsum("no,ni->noi", error, before).reshape(len(features), -1)
            parts += [error, weight]
            error = error @ tensors[linear][0]
        elif layer.kind == "relu":
            error = error * (before > 0)
        elif layer.kind == "tanh":
            error = error * (1 - after**2)
        else:
            error = error * after * (1 - after)
    return np.concatenate(parts[::-1], axis=1)


def _forward(spec: ModelSpec, tensors: Tensors, features: Floats) -> list[Floats]:
    """The input and every layer's output."""
    activations, pairs = [features], iter(tensors)
    for layer in spec.layers:
        values = activations[-1]
        if isinstance(layer, LinearLayer):
            weight, bias = next(pairs)
            activations.append(values @ weight.T + bias)
        elif layer.kind == "relu":
            activations.append(np.maximum(values, 0))
        elif layer.kind == "tanh":
            activations.append(np.tanh(values))
        else:
            activations.append(sigmoid(values))
    return activations


def _records(spec: ModelSpec, features: NDArray[np.floating]) -> Floats:
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != spec.inputs:
        raise InvalidInput(
            f"features: shape {list(values.shape)}, the model takes [records, {spec.inputs}]"
        )
    return values
