"""Convolution and pooling of grids [n, channels, height, width] in numpy, and their gradients.

A convolution is a matrix product over its unrolled windows (im2col: Chellapilla, Puri and Simard
2006). Windows are strided views; only the product's operand is copied. As in network.py, what
belongs to a record depends on no other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from federated.training.products import product, row_sum
from federated.wire.model import Conv2dLayer, PoolLayer

Floats = NDArray[np.float64]


def convolve(layer: Conv2dLayer, grids: Floats, weight: Floats, bias: Floats) -> Floats:
    """The layer's output, [n, out_channels, rows, columns]."""
    columns = _columns(layer, grids)
    out = product(columns, weight.reshape(len(weight), -1).T) + bias
    rows, width = layer.output(grids.shape[1:])[1:]
    return out.transpose(0, 2, 1).reshape(len(grids), len(weight), rows, width)


def convolve_weight_gradient(
    layer: Conv2dLayer, grids: Floats, error: Floats, *, each: bool
) -> tuple[Floats, Floats]:
    """Of weight and bias, flat: a row a record with ``each``, else the sum over records."""
    columns = _columns(layer, grids)
    flat = error.reshape(len(error), error.shape[1], -1)
    if each:
        weight = product(flat, columns)
        return weight.reshape(len(error), -1), row_sum(flat)
    summed = np.tensordot(flat, columns, axes=((0, 2), (0, 1)))
    return summed.reshape(-1), flat.sum(axis=(0, 2))


def convolve_input_gradient(
    layer: Conv2dLayer, grids: Floats, error: Floats, weight: Floats
) -> Floats:
    """The error at the layer's input, of the shape of ``grids``."""
    count, channels, height, width = grids.shape
    down, right = layer.padding
    padded = np.zeros((count, channels, height + 2 * down, width + 2 * right))
    flat = error.reshape(count, len(weight), -1).transpose(0, 2, 1)
    parts = product(flat, weight.reshape(len(weight), -1))
    windows = parts.reshape(count, *error.shape[2:], *weight.shape[1:])
    for row, column, view in _places(padded, layer.kernel, layer.stride, error.shape[2:]):
        part = windows[..., row, column].transpose(0, 3, 1, 2)
        np.add(view, part, out=view)
    return padded[:, :, down : down + height, right : right + width]


def pool(layer: PoolLayer, grids: Floats) -> Floats:
    """The layer's output, [n, channels, rows, columns]."""
    windows = _windows(grids, layer.kernel, layer.stride)
    if layer.kind == "maxpool2d":
        return np.asarray(windows.max(axis=(4, 5)))
    out = np.zeros(windows.shape[:4])
    for _, _, view in _places(grids, layer.kernel, layer.stride, windows.shape[2:4]):
        out += view
    return out / (layer.kernel[0] * layer.kernel[1])


def pool_input_gradient(layer: PoolLayer, grids: Floats, error: Floats) -> Floats:
    """The error at the layer's input; of equal largest values the first takes it, as in torch."""
    back = np.zeros_like(grids)
    kernel = layer.kernel
    windows = _windows(grids, kernel, layer.stride)
    chosen = windows.reshape(*windows.shape[:4], -1).argmax(axis=4)
    for row, column, view in _places(back, kernel, layer.stride, error.shape[2:]):
        if layer.kind == "maxpool2d":
            part = error * (chosen == row * kernel[1] + column)
        else:
            part = error / (kernel[0] * kernel[1])
        np.add(view, part, out=view)
    return back


def _columns(layer: Conv2dLayer, grids: Floats) -> Floats:
    """Every window as a row: [n, rows * columns, channels * kernel height * kernel width]."""
    down, right = layer.padding
    padded = np.pad(grids, ((0, 0), (0, 0), (down, down), (right, right)))
    windows = _windows(padded, layer.kernel, layer.stride).transpose(0, 2, 3, 1, 4, 5)
    return windows.reshape(len(grids), windows.shape[1] * windows.shape[2], -1)


def _windows(grids: Floats, kernel: tuple[int, int], stride: tuple[int, int]) -> Floats:
    """A view [n, channels, rows, columns, kernel height, kernel width]."""
    every = np.lib.stride_tricks.sliding_window_view(grids, kernel, axis=(2, 3))
    return every[:, :, :: stride[0], :: stride[1]]


def _places(
    grids: Floats, kernel: tuple[int, int], stride: tuple[int, int], sides: tuple[int, ...]
) -> Iterator[tuple[int, int, Floats]]:
    """For each place in the kernel: the view of all windows' values there, to add to."""
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            rows = slice(row, row + stride[0] * (sides[0] - 1) + 1, stride[0])
            columns = slice(column, column + stride[1] * (sides[1] - 1) + 1, stride[1])
            yield row, column, grids[:, :, rows, columns]
