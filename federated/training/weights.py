"""The flat vector of a state dict: its tensors are checked one by one, and widened exactly.

A weight is a dense tensor of float16, bfloat16, float32 or float64; float64 holds every value of
these. Anything else would be read as something that it is not: a complex tensor without its
imaginary part, an integer or float8 tensor without the scale that belongs to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from federated.errors import InvalidInput
from federated.extras import needs
from federated.training.network import Floats, flatten
from federated.wire.model import ModelSpec

WIDENED = ("float64", "float32", "float16", "bfloat16")
ALLOWED_TENSORS = f"allowed: a dense tensor of {', '.join(WIDENED)}"


def flat_weights(spec: ModelSpec, state: Mapping[str, Any], origin: str) -> Floats:
    """The weights float64 [d] of a state dict that comes layer by layer, weight before bias.

    Values are torch tensors on any device, or numpy arrays. Raises InvalidInput that names the
    tensor at fault, what it is and what is allowed.
    """
    weighted = spec.weighted
    names = list(state)
    if len(names) != 2 * len(weighted):
        raise InvalidInput(
            f"{origin}: state_dict holds {len(names)} tensors, the architecture "
            f"takes {2 * len(weighted)}"
        )
    for name in names:
        if not isinstance(name, str):
            raise InvalidInput(f"{origin}: state_dict: the name {name!r} is not text")
    tensors = []
    for layer, weight, bias in zip(weighted, names[::2], names[1::2], strict=True):
        if not (weight.endswith("weight") and bias == weight[: -len("weight")] + "bias"):
            raise InvalidInput(f"{origin}: state_dict: {weight}, {bias} is no weight with its bias")
        shapes = {weight: layer.weight_shape, bias: layer.weight_shape[:1]}
        pair = [
            _values(state[name], shape, f"{origin}: state_dict: {name}")
            for name, shape in shapes.items()
        ]
        tensors.append((pair[0], pair[1]))
    return flatten(tensors)


def _values(tensor: Any, shape: tuple[int, ...], name: str) -> Floats:
    """A tensor of this shape as float64. Raises InvalidInput for another or a non-finite one."""
    if (odd := _oddity(tensor)) is not None:
        raise InvalidInput(f"{name} is {odd}; {ALLOWED_TENSORS}")
    if tuple(tensor.shape) != shape:
        raise InvalidInput(f"{name} has shape {list(tensor.shape)}, allowed: {list(shape)}")
    if not isinstance(tensor, np.ndarray):
        tensor = tensor.detach().cpu().resolve_neg().double().numpy()
    values: Floats = np.asarray(tensor, dtype=np.float64)
    bad = values.size - int(np.isfinite(values).sum())
    if bad:
        raise InvalidInput(f"{name}: {bad} of {values.size} values are not finite (NaN, infinite)")
    return values


def _oddity(tensor: Any) -> str | None:
    """What keeps this from being a dense tensor of floating-point numbers; None for nothing."""
    if isinstance(tensor, np.ndarray):
        return None if tensor.dtype.name in WIDENED else f"of {tensor.dtype.name}"
    if not hasattr(tensor, "detach"):
        return f"a {type(tensor).__name__}, not a tensor"
    with needs("train"):
        import torch
        from torch import nn

    # A subclass may compute its values, as a masked or a distributed tensor does.
    if type(tensor) not in (torch.Tensor, nn.Parameter, nn.Buffer):
        return f"a {type(tensor).__name__}"
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_nested:
        return "a nested tensor"
    if tensor.is_quantized:
        return f"quantized ({dtype})"
    if tensor.layout is not torch.strided:
        return f"sparse ({str(tensor.layout).removeprefix('torch.')})"
    if tensor.is_meta:
        return "a meta tensor, which has a shape but no values"
    if tensor.is_complex():
        return f"complex ({dtype})"
    return None if dtype in WIDENED else f"of {dtype}"
