"""Whitelisted layers, from torch and to torch; torch only on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from federated.errors import InvalidInput
from federated.extras import needs
from federated.wire.model import (
    Conv2dLayer,
    FlattenLayer,
    Layer,
    LinearLayer,
    PoolLayer,
    UnflattenLayer,
)

if TYPE_CHECKING:
    from torch import nn

ALLOWED_LAYERS = (
    "Linear and Conv2d (with bias), MaxPool2d, AvgPool2d, Flatten, Unflatten(1, (channels, height, "
    "width)) first, ReLU, Tanh, Sigmoid, in Sequential"
)


def layer_fields(layer: nn.Module, name: str) -> dict[str, Any]:
    """A torch layer as the fields of a Layer. Raises InvalidInput that names it and what differs.

    Exact types: a subclass may compute something else under the same name.
    """
    with needs("train"):
        from torch import nn

    kind = type(layer)
    if kind in (nn.Linear, nn.Conv2d) and layer.bias is None:
        raise InvalidInput(f"layer {name}: {kind.__name__} without bias; use bias=True")
    if isinstance(layer, nn.Linear) and kind is nn.Linear:
        sizes = {"in_features": layer.in_features, "out_features": layer.out_features}
        return {"kind": "linear", **sizes}
    if isinstance(layer, nn.Conv2d) and kind is nn.Conv2d:
        _plain(layer, name, dilation=(1, 1), groups=1, padding_mode="zeros")
        if isinstance(layer.padding, str):
            raise InvalidInput(f"layer {name}: padding {layer.padding!r}; give it as numbers")
        return {
            "kind": "conv2d",
            "in_channels": layer.in_channels,
            "out_channels": layer.out_channels,
            "kernel": list(layer.kernel_size),
            "stride": list(layer.stride),
            "padding": list(layer.padding),
        }
    if isinstance(layer, nn.MaxPool2d) and kind is nn.MaxPool2d:
        _plain(layer, name, padding=0, dilation=1, ceil_mode=False, return_indices=False)
        return {"kind": "maxpool2d", **_pool_fields(layer)}
    if isinstance(layer, nn.AvgPool2d) and kind is nn.AvgPool2d:
        _plain(layer, name, padding=0, ceil_mode=False, divisor_override=None)
        return {"kind": "avgpool2d", **_pool_fields(layer)}
    if isinstance(layer, nn.Flatten) and kind is nn.Flatten:
        _plain(layer, name, start_dim=1, end_dim=-1)
        return {"kind": "flatten"}
    if isinstance(layer, nn.Unflatten) and kind is nn.Unflatten:
        grid = list(layer.unflattened_size)
        if layer.dim != 1 or len(grid) != 3 or not all(isinstance(side, int) for side in grid):
            raise InvalidInput(f"layer {name}: allowed: Unflatten(1, (channels, height, width))")
        return {
            "kind": "unflatten",
            **dict(zip(("channels", "height", "width"), grid, strict=True)),
        }
    names = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
    if kind in names:
        return {"kind": names[kind]}
    why = " (its masks are random, a gradient could not be checked)" if kind is nn.Dropout else ""
    raise InvalidInput(
        f"layer {name}: {kind.__name__} is not allowed{why}; allowed: {ALLOWED_LAYERS}"
    )


def _pool_fields(layer: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, list[int]]:
    def pair(value: int | tuple[int, ...]) -> list[int]:
        return [value, value] if isinstance(value, int) else list(value)

    return {"kernel": pair(layer.kernel_size), "stride": pair(layer.stride)}


def _plain(layer: nn.Module, name: str, **allowed: Any) -> None:
    """Raise InvalidInput for an option that is not at the one value which is supported."""
    for option, value in allowed.items():
        given = getattr(layer, option)
        if given not in (value, (value, value)):
            raise InvalidInput(
                f"layer {name}: {type(layer).__name__} with {option} {given!r}; allowed: {value!r}"
            )


def torch_layer(layer: Layer) -> nn.Module:
    """A Layer as a torch module with weights of its own."""
    with needs("train"):
        from torch import nn

    if isinstance(layer, LinearLayer):
        return nn.Linear(layer.in_features, layer.out_features)
    if isinstance(layer, Conv2dLayer):
        return nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,
            stride=layer.stride,
            padding=layer.padding,
        )
    if isinstance(layer, PoolLayer):
        make = nn.MaxPool2d if layer.kind == "maxpool2d" else nn.AvgPool2d
        return make(layer.kernel, stride=layer.stride)
    if isinstance(layer, FlattenLayer):
        return nn.Flatten()
    if isinstance(layer, UnflattenLayer):
        return nn.Unflatten(1, (layer.channels, layer.height, layer.width))
    return {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}[layer.kind]()
