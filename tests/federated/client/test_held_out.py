"""Which rows a site holds out: fixed by a row's place alone, whatever the other rows hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from federated.site.local_data import read, split
from federated.training.data import Dataset
from tests.training.world import DICTIONARY

ROWS = 400


def table(rows: int = ROWS) -> pd.DataFrame:
    """The first column tells every row apart."""
    rng = np.random.default_rng(3)
    columns = {f.name: rng.uniform(-1, 1, rows) for f in DICTIONARY.features}
    return pd.DataFrame({**columns, "x0": np.linspace(-1, 1, ROWS)[:rows], "y": 1})


def held(folder: Path, frame: pd.DataFrame, fraction: float = 0.3) -> tuple[set[float], set[float]]:
    """What is trained on and what is held out, by the first column."""
    path = folder / "ward.csv"
    frame.to_csv(path, index=False)
    rows = split(path, DICTIONARY, fraction, seed="northwind/ward")
    assert rows.held_out is not None
    return names(rows.training), names(rows.held_out)


def names(dataset: Dataset) -> set[float]:
    return set(dataset.features[:, 0].tolist())


def test_the_two_parts_are_the_whole(tmp_path: Path) -> None:
    training, out = held(tmp_path, table())
    assert not training & out
    whole = table()["x0"].to_numpy().astype(np.float32)
    kept = names(read(tmp_path / "ward.csv", DICTIONARY))
    assert training | out == kept
    assert len(kept) == min(len(whole), DICTIONARY.max_records)
    assert 0.2 < len(out) / len(kept) < 0.4


def test_blanking_out_a_record_moves_no_other(tmp_path: Path) -> None:
    before = held(tmp_path, table())
    blanked = table()
    blanked.loc[17, "y"] = np.nan
    gone = float(np.float32(blanked["x0"][17]))
    after = held(tmp_path, blanked)
    assert after == (before[0] - {gone}, before[1] - {gone})


def test_new_rows_move_no_other(tmp_path: Path) -> None:
    before = held(tmp_path, table(100))
    after = held(tmp_path, table(150))
    assert before[0] <= after[0] and before[1] <= after[1]


def test_a_larger_fraction_only_adds(tmp_path: Path) -> None:
    assert held(tmp_path, table(), 0.2)[1] <= held(tmp_path, table(), 0.4)[1]
