import sys
import zipfile

import numpy as np
import pytest

from federated.errors import InvalidInput
from federated.training.model import (
    load_model,
    module_from,
    save_model,
    spec_from_module,
)
from federated.training.network import flatten, initial_parameters, unflatten
from federated.wire.job import ActivationLayer, LinearLayer, ModelSpec
from tests.federated.training.saved import read_model

torch = pytest.importorskip("torch")
nn = torch.nn

SPEC = ModelSpec(
    layers=(
        LinearLayer(in_features=2, out_features=3),
        ActivationLayer(kind="tanh"),
        LinearLayer(in_features=3, out_features=1),
    )
)


def module():
    return nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), nn.Linear(3, 1))


def cnn(*layers):
    """A whole model around these layers; 6 x 6 inputs."""
    return nn.Sequential(nn.Unflatten(1, (1, 6, 6)), *layers, nn.Flatten(), nn.Linear(8, 3))


def test_a_convolutional_module_goes_there_and_back(tmp_path):
    source = cnn(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d((2, 2), 2))
    loaded = load_model(source)
    assert [layer.kind for layer in loaded.model.layers] == [
        "unflatten", "conv2d", "relu", "maxpool2d", "flatten", "linear",
    ]  # fmt: skip
    assert loaded.model.parameters == 2 * 10 + 3 * 9 == len(loaded.parameters)
    inputs = torch.rand(5, 36)
    assert torch.equal(source(inputs), module_from(loaded.model, loaded.parameters)(inputs))
    spec, parameters = read_model(save_model(tmp_path / "cnn", *loaded[:2]))
    assert spec == loaded.model
    assert (parameters == loaded.parameters).all()
    content = {"architecture": loaded.model.dump(), "state_dict": source.state_dict()}
    torch.save(content, tmp_path / "cnn.pt")
    assert (load_model(tmp_path / "cnn.pt").parameters == loaded.parameters).all()


def test_strides_and_means_go_there_and_back():
    source = nn.Sequential(
        nn.Unflatten(1, (2, 5, 6)),
        nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2)),
        nn.AvgPool2d(2, stride=(1, 3)),
        nn.Flatten(),
        nn.Linear(18, 1),
    )
    inputs = torch.rand(4, 60)
    loaded = load_model(source)
    assert torch.equal(source(inputs), module_from(loaded.model, loaded.parameters)(inputs))


def checkpoint(path, **changes):
    content = {
        "spec": {"target": {"name": "sick"}, "learning_rate": 0.5},
        "architecture": SPEC.dump(),
        "state_dict": module_from(SPEC).state_dict(),
    }
    torch.save({k: v for k, v in {**content, **changes}.items() if v is not None}, path)
    return path


def test_a_nested_module_becomes_a_spec_and_its_weights_in_order():
    source = module()
    loaded = load_model(source)
    assert loaded.model == SPEC
    expected = torch.cat([p.detach().reshape(-1) for p in source.parameters()]).double()
    assert loaded.parameters.tolist() == expected.tolist()
    assert loaded.spec == {}


def test_a_module_goes_there_and_back():
    source = module()
    loaded = load_model(source)
    again = module_from(loaded.model, loaded.parameters)
    inputs = torch.rand(5, 2)
    assert torch.equal(source(inputs), again(inputs))


def test_a_single_linear_is_a_model():
    assert spec_from_module(nn.Linear(4, 1)).parameters == 5


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), "are logits"),
        (lambda: nn.Sequential(nn.Linear(2, 3), nn.Linear(4, 1)), "takes 4 inputs, is given 3"),
        (lambda: nn.Sequential(nn.Linear(2, 1, bias=False)), "layer 0: Linear without bias"),
        (
            lambda: nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Dropout()), nn.Linear(2, 1)),
            r"layer 0\.1: Dropout is not allowed \(its masks are random.*; allowed: Linear",
        ),
        (lambda: nn.Sequential(nn.ReLU(), nn.Linear(2, 1)), "first one must be linear"),
        (lambda: nn.LSTM(2, 1), "LSTM is not allowed"),
        (nn.Sequential, "layers"),
        (lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(2, 1)), "unflatten before conv2d"),
        (lambda: cnn(nn.Conv2d(1, 2, 3, bias=False)), "Conv2d without bias"),
        (lambda: cnn(nn.Conv2d(1, 2, 3, dilation=2)), r"Conv2d with dilation \(2, 2\)"),
        (lambda: cnn(nn.Conv2d(1, 2, 3, padding="same")), "give it as numbers"),
        (lambda: cnn(nn.Conv2d(1, 2, 3, padding_mode="reflect")), "padding_mode 'reflect'"),
        (lambda: cnn(nn.Conv2d(3, 2, 3)), r"layers\.1: conv2d takes a grid of 3 channels"),
        (lambda: cnn(nn.Conv2d(1, 2, 7)), r"conv2d has a kernel of 7 x 7, is given 6 x 6"),
        (lambda: cnn(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2, ceil_mode=True)), "ceil_mode True"),
        (lambda: cnn(nn.Conv2d(1, 2, 3), nn.AvgPool2d(2, padding=1)), "padding 1; allowed: 0"),
        (lambda: cnn(nn.Conv2d(1, 2, 3), nn.Dropout()), "Dropout is not allowed"),
        (lambda: nn.Sequential(nn.Unflatten(1, (6, 6)), nn.Linear(6, 1)), r"Unflatten\(1"),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Linear(2, 1)), "flatten first"),
        (lambda: nn.Linear(4096, 8192), "at most 16777216 are allowed"),
        (lambda: {"layers": []}, "dict is not an nn.Module, a ModelSpec or a .pt file"),
    ],
)
def test_other_modules_are_refused_by_layer(build, reason):
    with pytest.raises(InvalidInput, match=reason):
        load_model(build())


def test_a_subclass_of_an_allowed_layer_is_refused():
    class Loud(nn.Linear):
        pass

    with pytest.raises(InvalidInput, match="Loud is not allowed"):
        load_model(nn.Sequential(Loud(2, 1)))


def test_weights_that_are_not_finite_are_refused():
    source = module()
    with torch.no_grad():
        source[1].bias.fill_(float("nan"))
    with pytest.raises(InvalidInput, match="not finite"):
        load_model(source)


@pytest.mark.parametrize("architecture", [SPEC.dump(), SPEC.dump()["layers"]])
def test_a_checkpoint_holds_architecture_weights_and_spec(tmp_path, architecture):
    path = checkpoint(tmp_path / "model.pt", architecture=architecture)
    for given in (path, str(path)):
        loaded = load_model(given)
        assert loaded.model == SPEC
        np.testing.assert_allclose(loaded.parameters, initial_parameters(SPEC), rtol=1e-6)
        assert loaded.spec["learning_rate"] == 0.5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"architecture": None}, "not a dict"),
        ({"state_dict": None}, "not a dict"),
        ({"architecture": "mlp"}, "architecture is not"),
        ({"architecture": [{"kind": "conv"}]}, "layers.0"),
        ({"spec": [1]}, "spec is not a dict"),
        ({"state_dict": [1]}, "state_dict is not a dict"),
        ({"state_dict": {}}, "holds 0 tensors, the architecture takes 4"),
        (
            {"state_dict": module_from(SPEC).state_dict() | {"2.bias": torch.zeros(2)}},
            r"2\.bias has shape \[2\], allowed: \[1\]",
        ),
        (
            {"state_dict": dict(reversed(module_from(SPEC).state_dict().items()))},
            "no weight with its bias",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_says_where(tmp_path, changes, reason):
    with pytest.raises(InvalidInput, match=reason):
        load_model(checkpoint(tmp_path / "model.pt", **changes))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pickled_modules_torchscript_and_junk_are_refused(tmp_path):
    torch.save(module(), tmp_path / "pickled.pt")
    torch.jit.trace(module(), torch.rand(1, 2)).save(tmp_path / "script.pt")
    (tmp_path / "junk.pt").write_bytes(b"junk")
    for name in ("pickled", "script", "junk"):
        with pytest.raises(InvalidInput, match=rf"{name}\.pt: holds a pickled module"):
            load_model(tmp_path / f"{name}.pt")
    with pytest.raises(InvalidInput, match="no such file"):
        load_model(tmp_path / "absent.pt")


class Evil:
    def __reduce__(self):
        return sys.setrecursionlimit, (4321,)


def test_no_code_of_a_checkpoint_runs(tmp_path):
    before = sys.getrecursionlimit()
    with pytest.raises(InvalidInput):
        load_model(checkpoint(tmp_path / "evil.pt", spec={"x": Evil()}))
    assert sys.getrecursionlimit() == before


def test_an_archive_that_expands_is_refused_before_it_is_read(tmp_path):
    state = {"0.weight": torch.zeros(1, 5_000_000), "0.bias": torch.zeros(1)}
    stored = checkpoint(tmp_path / "stored.pt", state_dict=state)
    packed = tmp_path / "packed.pt"
    with zipfile.ZipFile(stored) as parts, zipfile.ZipFile(packed, "w", 8) as archive:
        for name in parts.namelist():
            archive.writestr(name, parts.read(name))
    assert packed.stat().st_size < 100_000
    with pytest.raises(InvalidInput, match="allowed: as torch.save writes it, without compression"):
        load_model(packed)


@pytest.mark.parametrize("field", ["architecture", "spec"])
def test_a_description_that_holds_one_list_many_times_is_refused(tmp_path, field):
    many = ["x"]
    for _ in range(40):
        many = [many, many]
    path = checkpoint(tmp_path / "model.pt", **{field: {"layers": many}})
    with pytest.raises(InvalidInput, match="architecture and spec hold more than"):
        load_model(path)


def test_a_spec_starts_where_every_site_starts():
    first, second = load_model(SPEC), load_model(SPEC)
    assert first.parameters.tolist() == second.parameters.tolist()
    assert np.abs(first.parameters).max() <= 2**-0.5
    logistic = ModelSpec(layers=(LinearLayer(in_features=3, out_features=1),))
    assert load_model(logistic).parameters.tolist() == [0, 0, 0, 0]


def test_flatten_undoes_unflatten():
    flat = np.arange(13.0)
    (weight, bias), (last, _) = unflatten(SPEC, flat)
    assert weight.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert (bias.tolist(), last.shape) == ([6, 7, 8], (1, 3))
    assert flatten(unflatten(SPEC, flat)).tolist() == flat.tolist()


def test_a_saved_model_reads_back_and_loads_into_torch(tmp_path):
    from safetensors.torch import load_file

    flat = np.linspace(-1, 1, SPEC.parameters)
    path = save_model(tmp_path / "model.safetensors", SPEC, flat)
    assert save_model(tmp_path / "again.safetensors", SPEC, flat).read_bytes() == path.read_bytes()
    spec, parameters = read_model(path)
    assert (spec, parameters.tolist()) == (SPEC, flat.tolist())
    module_from(SPEC).load_state_dict(load_file(path))
