"""The utility bench on one seed: its numbers are AUCs, its plot is a drawing of them."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.bench.utility import measure, plot, spec_at


def test_less_noise_for_more_epsilon() -> None:
    assert spec_at(8.0).privacy.noise_sigma < spec_at(0.25).privacy.noise_sigma


def test_a_row_for_every_epsilon_and_both_comparisons() -> None:
    result = measure(1, (1.0, 8.0))
    rows = {row["epsilon"]: row["auc"] for row in result["rows"]}
    assert list(rows) == ["1.0", "8.0", "without noise", "pooled, without privacy"]
    assert all(0.6 < auc < 1 for auc in rows.values())
    drawing = ElementTree.fromstring(plot(result))
    assert sum(part.tag.endswith("circle") for part in drawing) == 2
