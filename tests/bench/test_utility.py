"""The utility bench on one seed: its numbers are AUCs, its plot is a drawing of them."""

from __future__ import annotations

import statistics
from functools import partial
from typing import Any
from xml.etree import ElementTree

import pytest

from federated.privacy.discrete_gaussian import sample
from tests.bench import utility_sides
from tests.bench.peers.base import NotMeasured
from tests.bench.utility import bench, held, say
from tests.bench.utility_data import heart
from tests.bench.utility_plot import plot
from tests.bench.utility_sides import RUNGS, Recipe, Sites, best, difference

TEN = Recipe(steps=10, learning_rate=1.0, clipping_norm=1.0)
FORTY = Recipe(steps=40, learning_rate=1.0, clipping_norm=1.0)


@pytest.fixture(autouse=True)
def seeded_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same noise in every run: what is learned under it is no matter of chance."""
    source = utility_sides.np.random.Generator(utility_sides.np.random.PCG64(1)).bytes
    monkeypatch.setattr(utility_sides, "sample", partial(sample, source=source))


def test_less_noise_for_more_epsilon_and_fewer_rounds() -> None:
    sites = Sites(heart())
    noise = {key: sites.spec(*key).privacy.noise_sigma for key in ((TEN, 8.0), (TEN, 0.25))}
    assert noise[TEN, 8.0] < noise[TEN, 0.25] < sites.spec(FORTY, 0.25).privacy.noise_sigma


def test_the_learning_rate_from_the_noise_learns_where_rate_one_drowns() -> None:
    sites = Sites(heart())
    chosen = sites.default(0.5, 40)
    assert chosen.learning_rate < 0.1
    splits = range(10)
    gained = difference(sites.areas(chosen, 0.5, splits), sites.areas(FORTY, 0.5, splits))
    assert gained["mean"] > 0.02


def test_a_peer_that_cannot_be_had_is_said_and_the_rest_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: Any) -> None:
        raise NotMeasured("cannot be installed: no such index")

    monkeypatch.setattr(utility_sides.opacus, "train", refused)
    result = bench("heart", 1, 1, epsilons=(1.0, 8.0), recipes=(TEN,), peer_recipes=(TEN,))
    assert list(result["ours"]) == ["1.0", "8.0", "None"]
    assert all(0.6 < auc < 1 for told in result["ours"].values() for auc in told["areas"])
    assert list(result["ladder"]["1.0"]) == list(RUNGS[1:])
    assert held([result], "ours") == "0 of 0"
    say("heart", result)
    assert "(Opacus): cannot be installed: no such index" in capsys.readouterr().out
    drawing = ElementTree.fromstring(plot({"heart": result, "opt": {"not measured": "x"}}))
    circles = [part for part in drawing.iter() if part.tag.endswith("circle")]
    assert len(circles) == 4


def test_each_rung_has_more_noise_than_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[float, int] = {}

    def noted(sigma: float, size: int) -> Any:
        drawn[sigma] = drawn.get(sigma, 0) + 1
        return utility_sides.np.zeros(size, dtype=utility_sides.np.int64)

    monkeypatch.setattr(utility_sides, "sample", noted)
    sites = Sites(heart())
    found = sites.ladder(TEN, 1.0, [0], {utility_sides.noise_name(TEN, 1.0): 11.9})
    assert list(found) == list(RUNGS)
    assert list(drawn) == sorted(drawn) and set(drawn.values()) == {40}
    assert list(drawn)[-1] == pytest.approx(sites.spec(TEN, 1.0).privacy.noise_sigma, rel=1e-3)


def test_the_better_recipe_is_taken_and_compared_seed_by_seed() -> None:
    assert best({TEN: [0.8, 0.7], FORTY: [0.85, 0.7]}) == FORTY
    gap = difference([0.80, 0.70], [0.81, 0.715])
    assert gap["mean"] == pytest.approx(statistics.fmean((-0.01, -0.015)))
    assert gap["half"] == pytest.approx(1.96 * 0.0025)
    assert not gap["within"]
    assert difference([0.80], [0.805])["within"]
