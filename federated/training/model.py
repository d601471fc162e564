"""Models as people bring them, made into a ModelSpec and a flat vector; torch only on demand."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.extras import needs
from federated.training.network import Floats, initial_parameters, unflatten
from federated.training.server import encode_tensors
from federated.training.torch_layers import ALLOWED_LAYERS, layer_fields, torch_layer
from federated.training.weights import flat_weights
from federated.wire.model import ModelSpec, WeightedLayer

if TYPE_CHECKING:
    from torch import nn

_EXPANSION = 1 << 24
"""Bytes by which an archive may expand: TorchScript packs its code, and is named as such below."""
_LARGEST_DESCRIPTION = 2_000_000
"""Values; a dictionary of 4,096 features with 256 categories has half as many."""
_CHECKPOINT = '{"spec": {...}, "architecture": {"layers": [...]}, "state_dict": ...}'


class LoadedModel(NamedTuple):
    """A model ready to propose: its spec, initial parameters float64 [d], and the file's ``spec``.

    The file's ``spec`` may hold the fields of a DataDictionary and training options; it is
    empty for a model that came without one.
    """

    model: ModelSpec
    parameters: Floats
    spec: dict[str, Any]


def load_model(model: nn.Module | ModelSpec | str | Path) -> LoadedModel:
    """The ModelSpec and initial parameters of a module, a spec or a ``.pt`` file.

    A ``.pt`` file holds a dict of ``architecture`` (a ModelSpec's dict, or its list of layers),
    ``state_dict`` and optionally ``spec``; it is read with ``weights_only``, so that no pickle
    runs. Raises InvalidInput that says what is wrong and what is allowed.
    """
    if isinstance(model, ModelSpec):
        return LoadedModel(model, initial_parameters(model), {})
    if isinstance(model, str | Path):
        return _load_checkpoint(Path(model))
    spec = spec_from_module(model)
    return LoadedModel(spec, flat_weights(spec, model.state_dict(), "the module"), {})


def spec_from_module(module: nn.Module) -> ModelSpec:
    """The ModelSpec of a Sequential (nested ones too) of whitelisted layers, or of one Linear.

    Raises InvalidInput that names the layer at fault.
    """
    with needs("train"):
        from torch import nn

    if not isinstance(module, nn.Module):
        raise InvalidInput(
            f"model: {type(module).__name__} is not an nn.Module, a ModelSpec or a .pt file"
        )
    layers, owners = [], dict[int, str]()
    for name, layer in _walk(module, ""):
        layers.append(layer_fields(layer, name))
        for own, parameter in layer.named_parameters():
            first = owners.setdefault(id(parameter), f"{name}.{own}")
            if first != f"{name}.{own}":
                raise InvalidInput(
                    f"layer {name}: its {own} is the same tensor as {first}; allowed: layers with "
                    "weights of their own"
                )
    return _spec(layers, "the module")


def module_from(spec: ModelSpec, parameters: NDArray[np.floating] | None = None) -> nn.Sequential:
    """The spec as a float32 torch module in eval mode, with these parameters [d]."""
    with needs("train"):
        import torch
        from torch import nn

    module = nn.Sequential(*(torch_layer(layer) for layer in spec.layers))
    flat = initial_parameters(spec) if parameters is None else parameters
    named = named_tensors(spec, flat)
    module.load_state_dict({name: torch.tensor(value) for name, value in named.items()})
    return module.eval()


def named_tensors(
    spec: ModelSpec, parameters: NDArray[np.floating]
) -> dict[str, NDArray[np.generic]]:
    """The flat vector by the names of the Sequential's state dict: ``0.weight``, ``0.bias``, ..."""
    at = [place for place, layer in enumerate(spec.layers) if isinstance(layer, WeightedLayer)]
    out: dict[str, NDArray[np.generic]] = {}
    for place, (weight, bias) in zip(at, unflatten(spec, parameters), strict=True):
        out |= {f"{place}.weight": weight, f"{place}.bias": bias}
    return out


def save_model(path: str | Path, spec: ModelSpec, parameters: NDArray[np.floating]) -> Path:
    """Write ``path`` as safetensors (float64), the architecture as JSON in its metadata.

    The suffix becomes ``.safetensors``. Equal models are equal bytes. Returns the path written.
    """
    out = Path(path).with_suffix(".safetensors")
    out.write_bytes(encode_tensors(named_tensors(spec, parameters), spec.canonical().decode()))
    return out


def _load_checkpoint(path: Path) -> LoadedModel:
    with needs("train"):
        import torch

    if not path.is_file():
        raise InvalidInput(f"{path}: no such file")
    if path.suffix not in (".pt", ".pth"):
        raise InvalidInput(f"{path.name}: a model is a .pt file that holds {_CHECKPOINT}")
    _check_expansion(path)
    try:
        with warnings.catch_warnings():  # torch's own advice on TorchScript; we refuse it below
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a hostile file
        raise InvalidInput(
            f"{path.name}: holds a pickled module, TorchScript or nothing that torch reads "
            f"safely; save a dict {_CHECKPOINT} instead"
        ) from error
    if not isinstance(content, Mapping) or not {"architecture", "state_dict"} <= set(content):
        raise InvalidInput(f"{path.name}: not a dict {_CHECKPOINT}")
    architecture, spec = content["architecture"], content.get("spec")
    _check_description(path, architecture, spec)
    if spec is not None and not isinstance(spec, Mapping):
        raise InvalidInput(f"{path.name}: spec is not a dict")
    layers = architecture.get("layers") if isinstance(architecture, Mapping) else architecture
    if not isinstance(layers, list | tuple):
        raise InvalidInput(f'{path.name}: architecture is not {{"layers": [...]}} or a list')
    model = _spec(list(layers), path.name)
    if not isinstance(content["state_dict"], Mapping):
        raise InvalidInput(f"{path.name}: state_dict is not a dict of tensors")
    return LoadedModel(
        model, flat_weights(model, content["state_dict"], path.name), dict(spec or {})
    )


def _check_expansion(path: Path) -> None:
    """Refuse an archive that is far longer unpacked: torch stores tensors as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return  # torch's format before archives, or none of it, which torch says
    if total > path.stat().st_size + _EXPANSION:
        raise InvalidInput(
            f"{path.name}: an archive that expands to {total:,} bytes; allowed: as torch.save "
            "writes it, without compression"
        )


def _check_description(path: Path, *values: Any) -> None:
    """Refuse what spells out to too much, as lists that hold one list many times do."""
    stack, count = list(values), 0
    while stack:
        value = stack.pop()
        count += 1
        if count > _LARGEST_DESCRIPTION:
            raise InvalidInput(
                f"{path.name}: architecture and spec hold more than {_LARGEST_DESCRIPTION:,} values"
            )
        if isinstance(value, Mapping):
            stack.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            stack.extend(value)


def _spec(layers: list[Any], origin: str) -> ModelSpec:
    try:
        return ModelSpec.parse({"layers": layers})
    except InvalidInput as error:
        raise InvalidInput(f"{origin}: {error.message}; allowed: {ALLOWED_LAYERS}") from error


def _walk(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    with needs("train"):
        from torch import nn

    if type(module) is nn.Sequential:
        # named_children() leaves out the second place of a layer that stands at two.
        for child_name, child in module._modules.items():
            assert child is not None  # Sequential calls every child
            yield from _walk(child, f"{name}.{child_name}" if name else child_name)
    else:
        yield name or "(model)", module
