"""Weights that float64 holds are read exactly; every other tensor is refused by name."""

import numpy as np
import pytest

from federated.errors import InvalidInput
from federated.training.model import load_model
from federated.wire.job import ActivationLayer, LinearLayer, ModelSpec

torch = pytest.importorskip("torch")
nn = torch.nn

SPEC = ModelSpec(
    layers=(
        LinearLayer(in_features=2, out_features=3),
        ActivationLayer(kind="tanh"),
        LinearLayer(in_features=3, out_features=1),
    )
)
NAMES = ("0.weight", "0.bias", "2.weight", "2.bias")
SHAPES = ((3, 2), (3,), (1, 3), (1,))


def state(**changes):
    """A state dict of 0, 1, ..., 12; ``changes`` by the names with _ for the point."""
    flat, out = torch.arange(13, dtype=torch.float32), {}
    for name, shape in zip(NAMES, SHAPES, strict=True):
        size = int(np.prod(shape))
        out[name], flat = flat[:size].reshape(shape), flat[size:]
    return out | {name.replace("_", ".", 1): value for name, value in changes.items()}


def load(folder, tensors, save=torch.save):
    path = folder / "model.pt"
    save({"architecture": SPEC.dump(), "state_dict": tensors}, path)
    return load_model(path).parameters


class Counted(torch.Tensor):
    pass


WEIGHT = torch.arange(6.0).reshape(3, 2)
REFUSED = {
    "complex": (WEIGHT + 1j, r"complex \(complex64\)"),
    "complex128": (WEIGHT.to(torch.complex128), r"complex \(complex128\)"),
    "sparse": (WEIGHT.to_sparse(), r"sparse \(sparse_coo\)"),
    "csr": (WEIGHT.to_sparse_csr(), r"sparse \(sparse_csr\)"),
    "meta": (WEIGHT.to("meta"), "a meta tensor"),
    "quantized": (torch.quantize_per_tensor(WEIGHT, 0.1, 0, torch.qint8), r"quantized \(qint8\)"),
    "bool": (WEIGHT > 2, "of bool"),
    "int8": (WEIGHT.to(torch.int8), "of int8"),
    "int64": (WEIGHT.to(torch.int64), "of int64"),
    "float8": (WEIGHT.to(torch.float8_e4m3fn), "of float8_e4m3fn"),
    "number": (1.5, "a float, not a tensor"),
    "list": ([[0.0, 1.0]] * 3, "a list, not a tensor"),
    "none": (None, "a NoneType, not a tensor"),
}


@pytest.mark.parametrize(("tensor", "what"), REFUSED.values(), ids=REFUSED)
def test_another_kind_of_tensor_is_refused_by_name(tmp_path, tensor, what):
    allowed = "allowed: a dense tensor of float64, float32, float16, bfloat16"
    with pytest.raises(InvalidInput, match=rf"state_dict: 0\.weight is {what}.*{allowed}"):
        load(tmp_path, state(**{"0_weight": tensor}))


@pytest.mark.parametrize(
    "tensor",
    [WEIGHT + 1j, WEIGHT.to_sparse(), WEIGHT.to("meta")],
    ids=["complex", "sparse", "meta"],
)
def test_a_module_with_such_a_weight_is_refused_too(tensor):
    module = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    module[0].weight = nn.Parameter(tensor)
    with pytest.raises(InvalidInput, match=r"the module: state_dict: 0\.weight is "):
        load_model(module)


def test_a_subclass_of_tensor_and_a_nested_tensor_are_refused():
    from federated.training.weights import flat_weights

    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(1)])
    for tensor, what in ((WEIGHT.as_subclass(Counted), "a Counted"), (nested, "a nested tensor")):
        with pytest.raises(InvalidInput, match=rf"0\.weight is {what}; allowed"):
            flat_weights(SPEC, state(**{"0_weight": tensor}), "here")


@pytest.mark.parametrize(
    ("shape", "said"), [((), r"\[\]"), ((0, 2), r"\[0, 2\]"), ((3, 2, 1), r"\[3, 2, 1\]")]
)
def test_another_shape_is_refused_by_name(tmp_path, shape, said):
    with pytest.raises(InvalidInput, match=rf"0\.weight has shape {said}, allowed: \[3, 2\]"):
        load(tmp_path, state(**{"0_weight": torch.zeros(shape)}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused_by_name(tmp_path, value):
    with pytest.raises(InvalidInput, match=r"state_dict: 2\.weight: 2 of 3 values are not finite"):
        load(tmp_path, state(**{"2_weight": torch.tensor([[1.0, value, value]])}))


def test_a_name_that_is_not_text_is_refused(tmp_path):
    tensors = dict(zip((0, 1, 2, 3), state().values(), strict=True))
    with pytest.raises(InvalidInput, match="the name 0 is not text"):
        load(tmp_path, tensors)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_allowed_floats_are_widened_exactly(tmp_path, dtype):
    tensors = {name: (tensor / 3).to(dtype) for name, tensor in state().items()}
    expected = [value for tensor in tensors.values() for value in tensor.reshape(-1).tolist()]
    assert load(tmp_path, tensors).tolist() == expected


def test_views_of_one_storage_are_read_as_they_look(tmp_path):
    rows = torch.arange(26.0)
    tensors = state(
        **{
            "0_weight": rows[:12:2].reshape(2, 3).T,
            "0_bias": torch.complex(torch.zeros(3), rows[:3]).conj().imag,  # a lazy negation
            "2_weight": rows[20:21].expand(1, 3),
            "2_bias": nn.Parameter(rows[25:]),
        }
    )
    expected = [0, 6, 2, 8, 4, 10, 0, -1, -2, 20, 20, 20, 25]
    assert load(tmp_path, tensors).tolist() == expected


def test_a_layer_that_stands_at_two_places_is_read_twice():
    act = nn.Tanh()
    loaded = load_model(nn.Sequential(nn.Linear(2, 2), act, nn.Linear(2, 2), act, nn.Linear(2, 1)))
    kinds = [layer.kind for layer in loaded.model.layers]
    assert kinds == ["linear", "tanh", "linear", "tanh", "linear"]


def test_weights_that_two_layers_share_are_refused():
    layer, twin = nn.Linear(2, 2), nn.Linear(2, 2)
    twin.weight = layer.weight
    for module in (nn.Sequential(layer, layer), nn.Sequential(layer, nn.ReLU(), twin)):
        with pytest.raises(InvalidInput, match=r"its weight is the same tensor as 0\.weight"):
            load_model(module)
