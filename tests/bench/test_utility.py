"""The utility bench on one seed: its numbers are AUCs, its plot is a drawing of them."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench import utility
from tests.bench.peers.base import NotMeasured
from tests.bench.utility import bench, best, difference, say, spec_at
from tests.bench.utility_data import heart
from tests.bench.utility_plot import plot


def test_less_noise_for_more_epsilon_and_fewer_rounds() -> None:
    table = heart()
    noise = {key: spec_at(table, *key).privacy.noise_sigma for key in ((8.0, 10), (0.25, 10))}
    assert noise[8.0, 10] < noise[0.25, 10] < spec_at(table, 0.25, 40).privacy.noise_sigma


def test_a_peer_that_cannot_be_had_is_said_and_the_rest_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: Any) -> None:
        raise NotMeasured("cannot be installed: no such index")

    monkeypatch.setattr(utility.opacus, "train", refused)
    monkeypatch.setattr(utility, "ROUNDS", (10,))
    result = bench("heart", 1, (1.0, 8.0))
    (ours,) = result["ours"].values()
    assert list(ours) == ["1.0", "8.0"]
    assert all(0.6 < auc < 1 for values in ours.values() for auc in values)
    assert "difference" not in result
    say("heart", result)
    assert "(Opacus): not measured, cannot be installed: no such index" in capsys.readouterr().out
    drawing = ElementTree.fromstring(plot({"heart": result, "opt": {"not measured": "x"}}))
    circles = [part for part in drawing.iter() if part.tag.endswith("circle")]
    assert len(circles) == 2


def test_the_better_schedule_of_each_side_is_compared_seed_by_seed() -> None:
    sides = {"10 rounds": {"1.0": [0.8, 0.7]}, "40 rounds": {"1.0": [0.85, 0.7]}}
    assert best(sides, "1.0") == ("40 rounds", [0.85, 0.7])
    gap = difference(("a", [0.80, 0.70]), ("b", [0.81, 0.715]))
    assert gap["mean"] == pytest.approx(-0.0125)
    assert gap["half"] == pytest.approx(1.96 * 0.0025)
    assert not gap["within"]
    assert difference(("a", [0.80]), ("b", [0.805]))["within"]
