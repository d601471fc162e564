"""A model on the wire: whitelisted layers, their shapes and the order of parameters."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from federated.wire.base import Message

MOST_PARAMETERS = 1 << 24
"""Of one model: its state with an optimizer's moments stays under 2^30 bytes."""
MOST_VALUES = 1 << 20
"""Of one record's output of one layer."""
Shape = tuple[int, ...]


class LinearLayer(Message):
    """y = W x + b, W of shape (out, in)."""

    kind: Literal["linear"] = "linear"
    in_features: Annotated[int, Field(ge=1, le=65_536)]
    out_features: Annotated[int, Field(ge=1, le=65_536)]

    @property
    def weight_shape(self) -> Shape:
        return (self.out_features, self.in_features)

    def output(self, shape: Shape) -> Shape:
        """The shape of a record's output. Raises ValueError where the input does not fit."""
        if len(shape) != 1:
            raise ValueError(f"takes a vector, is given {_text(shape)}; flatten first")
        if shape != (self.in_features,):
            raise ValueError(f"takes {self.in_features} inputs, is given {shape[0]}")
        return (self.out_features,)


class UnflattenLayer(Message):
    """Columns in the dictionary's order as a grid (channels, height, width), row-major."""

    kind: Literal["unflatten"] = "unflatten"
    channels: Annotated[int, Field(ge=1, le=1024)]
    height: Annotated[int, Field(ge=1, le=1024)]
    width: Annotated[int, Field(ge=1, le=1024)]

    def output(self, shape: Shape) -> Shape:
        grid = (self.channels, self.height, self.width)
        if shape != (math.prod(grid),):
            raise ValueError(f"makes {_text(grid)} of {math.prod(grid)}, is given {_text(shape)}")
        return grid


Side = Annotated[int, Field(ge=1, le=64)]


class Conv2dLayer(Message):
    """A cross-correlation over (channels, height, width), zero padding, as torch's Conv2d.

    W has shape (out_channels, in_channels, kernel height, kernel width).
    """

    kind: Literal["conv2d"] = "conv2d"
    in_channels: Annotated[int, Field(ge=1, le=1024)]
    out_channels: Annotated[int, Field(ge=1, le=1024)]
    kernel: tuple[Side, Side]
    stride: tuple[Side, Side] = (1, 1)
    padding: tuple[Annotated[int, Field(ge=0, le=64)], Annotated[int, Field(ge=0, le=64)]] = (0, 0)

    @property
    def weight_shape(self) -> Shape:
        return (self.out_channels, self.in_channels, *self.kernel)

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[0] != self.in_channels:
            raise ValueError(
                f"takes a grid of {self.in_channels} channels, is given {_text(shape)}"
            )
        padded = (shape[1] + 2 * self.padding[0], shape[2] + 2 * self.padding[1])
        return (self.out_channels, *_windows(padded, self.kernel, self.stride))


class PoolLayer(Message):
    """The largest value or the mean of each window of a channel, without padding."""

    kind: Literal["maxpool2d", "avgpool2d"]
    kernel: tuple[Side, Side]
    stride: tuple[Side, Side]

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise ValueError(f"takes a grid, is given {_text(shape)}")
        return (shape[0], *_windows((shape[1], shape[2]), self.kernel, self.stride))


class FlattenLayer(Message):
    """A grid as one vector, row-major."""

    kind: Literal["flatten"] = "flatten"

    def output(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


class ActivationLayer(Message):
    kind: Literal["relu", "tanh", "sigmoid"]

    def output(self, shape: Shape) -> Shape:
        return shape


WeightedLayer = LinearLayer | Conv2dLayer
Layer = Annotated[
    LinearLayer | UnflattenLayer | Conv2dLayer | PoolLayer | FlattenLayer | ActivationLayer,
    Field(discriminator="kind"),
]


class ModelSpec(Message):
    """A feed-forward model of whitelisted layers; the last one is linear.

    Its outputs are a logit (binary), a logit a class, or a scaled number. Parameters are ordered
    layer by layer, each weight (row-major) before its bias.
    """

    TAG: ClassVar[str] = "model-spec"

    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _chained(self) -> ModelSpec:
        if not isinstance(self.layers[0], LinearLayer | UnflattenLayer):
            raise ValueError("layers: the first one must be linear, or unflatten before conv2d")
        shape: Shape = (self.inputs,)
        for position, layer in enumerate(self.layers):
            try:
                shape = layer.output(shape)
            except ValueError as error:
                raise ValueError(f"layers.{position}: {layer.kind} {error}") from error
            if math.prod(shape) > MOST_VALUES:
                raise ValueError(
                    f"layers.{position}: makes {math.prod(shape)} values of a record; "
                    f"at most {MOST_VALUES} are allowed"
                )
        if not isinstance(self.layers[-1], LinearLayer):
            raise ValueError("layers: the last one must be linear (its outputs are logits)")
        if self.parameters > MOST_PARAMETERS:
            raise ValueError(
                f"layers: {self.parameters} parameters; at most {MOST_PARAMETERS} are allowed"
            )
        return self

    @property
    def inputs(self) -> int:
        """Columns of a record."""
        first = self.layers[0]
        if isinstance(first, UnflattenLayer):
            return first.channels * first.height * first.width
        assert isinstance(first, LinearLayer)
        return first.in_features

    @property
    def outputs(self) -> int:
        last = self.layers[-1]
        assert isinstance(last, LinearLayer)
        return last.out_features

    @property
    def weighted(self) -> tuple[WeightedLayer, ...]:
        """The layers that have a weight and a bias, in order."""
        return tuple(layer for layer in self.layers if isinstance(layer, WeightedLayer))

    @property
    def parameters(self) -> int:
        """The number of parameters: the dimension d of a contribution."""
        return sum(math.prod(layer.weight_shape) + layer.weight_shape[0] for layer in self.weighted)


def _windows(
    sides: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]
) -> tuple[int, int]:
    if kernel[0] > sides[0] or kernel[1] > sides[1]:
        raise ValueError(f"has a kernel of {_text(kernel)}, is given {_text(sides)}")
    rows, columns = ((s - k) // step + 1 for s, k, step in zip(sides, kernel, stride, strict=True))
    return rows, columns


def _text(shape: Shape) -> str:
    return " x ".join(map(str, shape))
