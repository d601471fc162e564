"""A result file's shape, medians with their ends, ratios that compare like with like."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.bench.frame import OURS, Row, machine, ratios, show, spread, write

SECONDS = "seconds a round"
ROWS = [
    Row("secure", OURS, SECONDS, 2.0, "s"),
    Row("clear", "Peer 1", SECONDS, 5.0, "s"),
    Row("clear", "Peer 1", "peak memory: server", 90.0, "MiB"),
    Row("secure", "Peer 2", SECONDS, 700.0, "ms"),
]


def test_file_holds_machine_and_rows_and_nothing_else(tmp_path):
    path = write("round", ROWS, machine(), tmp_path)
    content = json.loads(path.read_text())
    assert path.name == "round.json"
    assert set(content) == {"machine", "rows"}
    assert content["rows"][1] == {
        "case": "clear",
        "system": "Peer 1",
        "metric": SECONDS,
        "value": 5.0,
        "unit": "s",
    }
    assert [file.name for file in tmp_path.iterdir()] == ["round.json"]


def test_machine_names_its_processor_and_versions():
    facts = machine()
    assert facts["cpu"]
    assert facts["cores"] >= 1
    assert facts["memory_gib"] > 0
    assert facts["packages"]["numpy"]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=9))
def test_spread_is_median_between_minimum_and_maximum(values):
    median, least, most = spread("case", OURS, SECONDS, values, "s")
    assert least.value == min(values)
    assert most.value == max(values)
    assert least.value <= median.value <= most.value
    assert [row.metric for row in (median, least, most)] == [
        SECONDS,
        f"{SECONDS} (min)",
        f"{SECONDS} (max)",
    ]


def test_spread_of_nothing_is_refused():
    with pytest.raises(ValueError, match=f"secure, {OURS}: {SECONDS} has no measured value"):
        spread("secure", OURS, SECONDS, [], "s")


def test_ratio_is_the_peer_over_this_project_in_one_unit():
    (ratio,) = ratios(ROWS, [SECONDS])
    assert (ratio.peer.system, ratio.value) == ("Peer 1", 2.5)


def test_no_ratio_over_zero_and_none_without_this_project():
    (ratio,) = ratios([Row("secure", OURS, SECONDS, 0.0, "s"), ROWS[1]], [SECONDS])
    assert ratio.value is None
    assert ratios(ROWS[1:], [SECONDS]) == []


def test_output_shows_ratios_ends_and_what_was_not_measured():
    out = io.StringIO()
    rows = [*ROWS, Row("clear", "Peer 1", f"{SECONDS} (min)", 4.25, "s")]
    rows.append(Row("clear", "Peer 1", f"{SECONDS} (max)", 8.75, "s"))
    console = Console(file=out, width=160)
    show(rows, [SECONDS], {"Peer 3, HE": "cannot be installed: no wheel [x]"}, console)
    shown = out.getvalue()
    assert "4.25 to 8.75" in shown
    assert "2.50" in shown
    assert "not measured: Peer 3, HE: cannot be installed: no wheel [x]" in shown
