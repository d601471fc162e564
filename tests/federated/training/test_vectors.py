"""The published numbers of training: what another implementation has to reproduce."""

import json
import math

import pytest

from tests.federated.training.generate_vectors import FILE, VALUES, vectors

PUBLISHED = json.loads(FILE.read_text())


@pytest.mark.parametrize("part", PUBLISHED)
def test_the_published_numbers_are_ours(part):
    assert json.loads(json.dumps(vectors()[part])) == PUBLISHED[part]


def plain(optimizer, denominator):
    """The steps in plain floats, written from docs/audit/bundle.md alone."""
    steps = PUBLISHED["server_steps"]
    grid = steps["clipping_norm"] / steps["units"]
    x = list(steps["start"])
    v = [0.0] * len(x)
    tau = optimizer.get("tau", 0.0)
    m, s = [0.0] * len(x), [tau * tau] * len(x)
    for values in VALUES:
        for j, value in enumerate(values):
            g = (float(value) * grid) / denominator
            rate = optimizer["learning_rate"]
            if optimizer["kind"] == "sgd":
                x[j] -= g * rate
            elif optimizer["kind"] == "momentum":
                v[j] = v[j] * optimizer["momentum"] + g
                x[j] -= v[j] * rate
            else:
                m[j] = m[j] * optimizer["beta1"] + g * (1 - optimizer["beta1"])
                s[j] = s[j] * optimizer["beta2"] + (g * g) * (1 - optimizer["beta2"])
                x[j] -= (m[j] * rate) / (math.sqrt(s[j]) + optimizer["tau"])
        yield list(x)


@pytest.mark.parametrize("name", PUBLISHED["server_steps"]["optimizers"])
def test_plain_arithmetic_gives_the_same_bits(name):
    published = PUBLISHED["server_steps"]["optimizers"][name]
    iterates = plain(published["optimizer"], float(PUBLISHED["server_steps"]["denominator"]))
    for entry, iterate in zip(published["rounds"], iterates, strict=True):
        assert [float.fromhex(value) for value in entry["parameters"]] == iterate
