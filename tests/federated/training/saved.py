"""A saved model, read by another's library: what ``save_model`` writes is plain safetensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from federated.wire.model import ModelSpec, WeightedLayer


def read_model(path: Path) -> tuple[ModelSpec, NDArray[np.float64]]:
    """The architecture in the file's metadata, and its tensors as one flat vector float64 [d]."""
    with safe_open(str(path), framework="numpy") as file:
        spec = ModelSpec.parse(file.metadata()["architecture"])
        places = [n for n, layer in enumerate(spec.layers) if isinstance(layer, WeightedLayer)]
        names = [f"{place}.{kind}" for place in places for kind in ("weight", "bias")]
        assert set(names) == set(file.keys())
        return spec, np.concatenate([file.get_tensor(name).ravel() for name in names])
