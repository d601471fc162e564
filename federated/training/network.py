"""A ModelSpec evaluated in numpy: forward, and gradients, each record's own or their sum.

A record's outputs and its own gradient depend on the record and the parameters alone, to the last
bit: not on its place in the batch, on the other records, or on the machine. Every operation is
elementwise, a maximum, a sum in a fixed order (``row_sum``) or an exact ``product``. Only a sum
over records (``each=False``) is as the machine's matrix product makes it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.training.convolution import (
    convolve,
    convolve_input_gradient,
    convolve_weight_gradient,
    pool,
    pool_input_gradient,
)
from federated.training.pointwise import sigmoid, tanh
from federated.training.products import product
from federated.wire.model import Conv2dLayer, Layer, LinearLayer, ModelSpec, PoolLayer

Floats = NDArray[np.float64]
Tensors = list[tuple[Floats, Floats]]


def unflatten(spec: ModelSpec, parameters: NDArray[np.floating]) -> Tensors:
    """Weight and bias (out) of each layer that has them, in order.

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
    return tensors_of(spec, flat)


def tensors_of(spec: ModelSpec, flat: Floats) -> Tensors:
    """Views into the flat vector."""
    tensors, at = [], 0
    for layer in spec.weighted:
        size, out = math.prod(layer.weight_shape), layer.weight_shape[0]
        weight = flat[at : at + size].reshape(layer.weight_shape)
        tensors.append((weight, flat[at + size : at + size + out]))
        at += size + out
    return tensors


def flatten(tensors: Sequence[tuple[NDArray[np.floating], NDArray[np.floating]]]) -> Floats:
    """The flat float64 vector of (weight, bias) pairs."""
    parts = [np.asarray(part, dtype=np.float64).reshape(-1) for pair in tensors for part in pair]
    return np.concatenate(parts)


def initial_parameters(spec: ModelSpec) -> Floats:
    """Where training begins when nobody brings weights.

    Zeros for one linear layer (its loss is convex); else uniform in +-1/sqrt(inputs of an output)
    for weight and bias, seeded by the spec's digest, so that every site finds the same vector.
    """
    if len(spec.weighted) == 1:
        return np.zeros(spec.parameters)
    generator = np.random.Generator(np.random.PCG64(int(spec.digest(), 16)))
    tensors = []
    for layer in spec.weighted:
        bound = math.prod(layer.weight_shape[1:]) ** -0.5
        weight = generator.uniform(-bound, bound, layer.weight_shape)
        tensors.append((weight, generator.uniform(-bound, bound, layer.weight_shape[0])))
    return flatten(tensors)


def predict_outputs(
    spec: ModelSpec, parameters: NDArray[np.floating], features: NDArray[np.floating]
) -> Floats:
    """The model's outputs, float64 [n, outputs], of features [n, inputs]. Needs no torch."""
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != spec.inputs:
        raise InvalidInput(
            f"features: shape {list(values.shape)}, the model takes [records, {spec.inputs}]"
        )
    tensors, step = unflatten(spec, parameters), chunk_records(spec, gradients=False)
    out = np.empty((len(values), spec.outputs))
    with np.errstate(all="ignore"):
        for at in range(0, len(values), step):
            out[at : at + step] = forward(spec, tensors, values[at : at + step])[-1]
    return out


def chunk_records(spec: ModelSpec, *, budget: int = 4 << 20, gradients: bool = True) -> int:
    """How many records at a time keep gradients, values and windows within ``budget`` bytes."""
    shape: tuple[int, ...] = (spec.inputs,)
    values = spec.inputs
    for layer in spec.layers:
        shape = layer.output(shape)
        values += math.prod(shape)
        if isinstance(layer, Conv2dLayer):
            values += math.prod(layer.weight_shape[1:]) * math.prod(shape[1:])
    return max(1, budget // (8 * max(spec.parameters if gradients else 0, values)))


def forward(spec: ModelSpec, tensors: Tensors, features: Floats) -> list[Floats]:
    """The input and every layer's output, each [n, ...]."""
    activations, pairs = [features], iter(tensors)
    shape: tuple[int, ...] = (spec.inputs,)
    for layer in spec.layers:
        values, shape = activations[-1], layer.output(shape)
        if isinstance(layer, LinearLayer):
            weight, bias = next(pairs)
            activations.append(product(values, weight.T) + bias)
        elif isinstance(layer, Conv2dLayer):
            activations.append(convolve(layer, values, *next(pairs)))
        elif isinstance(layer, PoolLayer):
            activations.append(pool(layer, values))
        elif layer.kind == "relu":
            activations.append(np.maximum(values, 0))
        elif layer.kind == "tanh":
            activations.append(tanh(values))
        elif layer.kind == "sigmoid":
            activations.append(sigmoid(values))
        else:
            activations.append(values.reshape(len(values), *shape))
    return activations


def backward(
    spec: ModelSpec, tensors: Tensors, activations: list[Floats], error: Floats, *, each: bool
) -> Floats:
    """Gradients of the parameters from the error at the outputs [n, k].

    With ``each`` every record's own, float64 [n, d]; else their sum, float64 [d]. Backpropagation
    by hand: a record's gradient of a linear layer's weight is the outer product of the error at its
    output and the record's input to it.
    """
    parts: list[Floats] = []
    left = len(tensors)
    for position in reversed(range(len(spec.layers))):
        layer = spec.layers[position]
        before, after = activations[position], activations[position + 1]
        if isinstance(layer, LinearLayer | Conv2dLayer):
            left -= 1
            weight = tensors[left][0]
            parts += reversed(_weight_gradient(layer, before, error, each=each))
            if left == 0:
                break
            if isinstance(layer, LinearLayer):
                error = product(error, weight)
            else:
                error = convolve_input_gradient(layer, before, error, weight)
        else:
            error = _through(layer, before, after, error)
    return np.concatenate(parts[::-1], axis=-1)


def _weight_gradient(
    layer: LinearLayer | Conv2dLayer, before: Floats, error: Floats, *, each: bool
) -> tuple[Floats, Floats]:
    if isinstance(layer, Conv2dLayer):
        return convolve_weight_gradient(layer, before, error, each=each)
    if each:
        return (error[:, :, None] * before[:, None, :]).reshape(len(before), -1), error
    return (error.T @ before).reshape(-1), error.sum(axis=0)


def _through(layer: Layer, before: Floats, after: Floats, error: Floats) -> Floats:
    """The error before a layer without parameters."""
    if isinstance(layer, PoolLayer):
        return pool_input_gradient(layer, before, error)
    if layer.kind == "relu":
        return error * (before > 0)
    if layer.kind == "tanh":
        return error * (1 - after**2)
    if layer.kind == "sigmoid":
        return error * after * (1 - after)
    return error.reshape(before.shape)
