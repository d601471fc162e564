"""The published numbers of a campaign are reproduced, and hold by formulas written out anew."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import pytest

from tests.federated.crypto.small_key import VECTORS, small_key
from tests.federated.crypto.vote_vectors import whole


@pytest.fixture(scope="module")
def vector():
    return json.loads((VECTORS / "campaign.json").read_text())


def test_everything_is_reproduced(vector):
    found = whole()
    for name, ends in vector["statistics"].items():
        assert found["statistics"][name] == pytest.approx(ends, rel=1e-9)
    assert {**found, "statistics": None} == {**vector, "statistics": None}


def test_the_grid_by_its_formula(vector):
    for j, point in enumerate(vector["points"]):
        assert point == pytest.approx(2 * 250 ** (j / 7), rel=1e-11)
        u = round((2 * Fraction(point) - 502) / 498 * 2**20)
        assert vector["scaled"][j] == u
        assert vector["squared"][j] == round(Fraction(u * u, 2**20)) - 2**19
    assert vector["linear_points"][1] == pytest.approx(2 + 498 / 7)


def test_the_widths_by_their_formula(vector):
    split = vector["metric"]["split"]
    for width, (sensitivity, part) in zip(
        vector["widths"],
        [(1, "histogram")] * 4 + [(2**20, "values"), (2**19, "squares")],
        strict=True,
    ):
        tail = 4 * math.ceil(64 * sensitivity / Fraction(split[part]))
        assert width == (2 * (80 * sensitivity + tail)).bit_length()


def test_the_chosen_branch_by_its_equation(vector):
    """h0^w = a (c / (1 + n)^P)^e with a = h0^nonce, in Python's own arithmetic."""
    proof, key = vector["proof"], small_key().dealt.public_key
    n2, c = key.n**2, int(proof["ciphertext"], 16)
    e, w = (int(proof[name], 16) for name in ("chosen_challenge", "chosen_answer"))
    plaintext = int(vector["codewords"][5], 16)
    base = c * pow(1 + key.n, -plaintext, n2) % n2
    assert pow(key.h0, w, n2) == pow(key.h0, (1 << 1000) + 99, n2) * pow(base, e, n2) % n2


def test_statistics_are_ordered_and_within_the_bounds(vector):
    assert set(vector["statistics"]) == set(vector["metric"]["statistics"])
    for name, found in vector["statistics"].items():
        low, high = (0, 249) if name == "std" else (2, 500)
        assert low <= found["lower"] <= found["value"] <= found["upper"] <= high
