"""Private tables, and the one rule by which they become model inputs.

Reading: Parquet, CSV, TSV or a pandas DataFrame (``federated.training.tables``). In every format a
null, NaN, blank text and the texts NA, N/A, NaN, nan, null and NULL are missing; such a text is not
where it is a listed category or class.

Numeric columns hold numbers, their text, or booleans (true is 1, false is 0). Missing values
become 0 after scaling, values out of bounds are clamped, infinity and other text cannot be read.

Categorical cells compare with the categories by their canonical text (``tables/canonical.py``),
which does not depend on how a value is stored: 1, 1.0 and "1.0" equal "1", booleans in any case
are "True" and "False", a date is written as 2027-03-01. Missing and unlisted values become all
zeros.

Targets: binary ones become 0 or 1; classes their place in the list, compared as categories are;
numbers are clamped to their bounds and scaled to [-1, 1]. A row without a target, or of a class
that is not listed, is left out.

Rows keep their place: of a table longer than ``max_records`` the first ``max_records`` rows are
taken, then those without a target are left out. So blanking out a record never moves another one
in, and one record's influence stays one record's.

A cell that cannot be read is refused by ``encode``, for people who can mend the table. A site that
has approved a job uses ``encode_masked``: there such a row is left out and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.training.faults import Faults
from federated.training.tables import UNREADABLE, Column, canonical, load_table
from federated.wire.data import (
    BinaryTarget,
    CategoricalFeature,
    DataDictionary,
    MulticlassTarget,
    NumericFeature,
    RegressionTarget,
    Target,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Dataset",
    "check_columns",
    "column_of",
    "encode",
    "encode_masked",
    "listed_texts",
    "load_table",
]


@dataclass(frozen=True)
class Dataset:
    """Encoded records: features float32 [n, width] in [-1, 1], target float32 [n].

    The target is 0 or 1 (binary), a class's place in the list, or a number in [-1, 1].
    """

    features: NDArray[np.float32]
    target: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.target)


def check_columns(table: pd.DataFrame, dictionary: DataDictionary) -> None:
    """Raise InvalidInput that names the columns which the dictionary needs and the table lacks."""
    there = [str(name) for name in table.columns]
    needed = [feature.name for feature in dictionary.features] + [dictionary.target.name]
    missing = [name for name in needed if name not in there]
    if missing:
        raise InvalidInput(
            f"{_origin(table)}: no column {', '.join(missing)}; "
            f"the columns there are {', '.join(there)}"
        )
    twice = sorted({name for name in needed if there.count(name) > 1})
    if twice:
        raise InvalidInput(f"{_origin(table)}: column {', '.join(twice)} is there twice")


def encode(table: pd.DataFrame, dictionary: DataDictionary) -> Dataset:
    """Model inputs of a table by the rule at the top of this module.

    Raises InvalidInput that names table, column and row for a missing column, text or infinity in
    a numeric column, or a table without a single target.
    """
    dataset, _ = _encoded(table, dictionary, None)
    if not len(dataset):
        listed = " of a listed class" if isinstance(dictionary.target, MulticlassTarget) else ""
        raise InvalidInput(
            f"{_origin(table)}: no row has a target{listed} (column {dictionary.target.name})"
        )
    return dataset


def encode_masked(
    table: pd.DataFrame, dictionary: DataDictionary
) -> tuple[Dataset, NDArray[np.int64], Faults]:
    """As ``encode``, but no cell's value raises: its row is masked, and there may be no row at all.

    Returns the records, the place of each in the table, and what was masked. Raises InvalidInput
    only for the table's structure: a missing column, or one of another type.
    """
    faults = Faults(np.zeros(min(len(table), dictionary.max_records), dtype=np.bool_))
    dataset, places = _encoded(table, dictionary, faults)
    return dataset, places, faults


def _encoded(
    table: pd.DataFrame, dictionary: DataDictionary, faults: Faults | None
) -> tuple[Dataset, NDArray[np.int64]]:
    check_columns(table, dictionary)
    table = table.iloc[: dictionary.max_records]
    target = _target(table, dictionary.target, faults)
    columns = [
        _scaled(table, feature, faults)
        if isinstance(feature, NumericFeature)
        else _indicators(table, feature, faults)
        for feature in dictionary.features
    ]
    features = np.concatenate(columns, axis=1).astype(np.float32)
    there = ~np.isnan(target)
    if faults is not None:
        there &= ~faults.rows
    dataset = Dataset(features=features[there], target=target[there].astype(np.float32))
    return dataset, np.flatnonzero(there)


def _target(table: pd.DataFrame, target: Target, faults: Faults | None) -> NDArray[np.float64]:
    """Encoded targets, NaN where a row has none."""
    if isinstance(target, MulticlassTarget):
        return _places(table, target.name, target.classes, "classes", faults)
    values = _numbers(table, target.name, "the target", faults)
    if isinstance(target, BinaryTarget):
        positive = (values > target.positive_above).astype(np.float64)
        return np.where(np.isnan(values), np.nan, positive)
    return _between(values, target)


def _scaled(
    table: pd.DataFrame, feature: NumericFeature, faults: Faults | None
) -> NDArray[np.float64]:
    values = _numbers(table, feature.name, "a numeric feature", faults)
    missing = np.isnan(values) | np.isin(values, feature.missing_values)
    return np.where(missing, 0.0, _between(values, feature))[:, None]


def _between(
    values: NDArray[np.float64], bounds: NumericFeature | RegressionTarget
) -> NDArray[np.float64]:
    """Clamped to the bounds and scaled to [-1, 1]; NaN stays."""
    width = bounds.upper - bounds.lower
    scaled = 2 * (np.clip(values, bounds.lower, bounds.upper) - bounds.lower) / width - 1
    return np.asarray(scaled)


def _indicators(
    table: pd.DataFrame, feature: CategoricalFeature, faults: Faults | None
) -> NDArray[np.float64]:
    places = _places(table, feature.name, feature.categories, "categories", faults)
    return np.asarray(places[:, None] == np.arange(len(feature.categories)), dtype=np.float64)


def _places(
    table: pd.DataFrame, name: str, listed: tuple[str, ...], what: str, faults: Faults | None
) -> NDArray[np.float64]:
    """Each cell's place among the listed texts, NaN where it is missing, not listed or masked."""
    places = column_of(table, name).places(listed_texts(name, listed, what))
    bad = places == UNREADABLE
    reason = f"bytes that are not UTF-8 ({int(bad.sum())} such cells)"
    _unreadable(table, name, bad, reason, faults)
    return np.where(places < 0, np.nan, places.astype(np.float64))


def listed_texts(name: str, listed: tuple[str, ...], what: str) -> list[str]:
    """The canonical texts of listed categories or classes.

    Raises InvalidInput where two of them are one value, or one is blank: it would match nothing.
    """
    texts = [canonical(entry) for entry in listed]
    if len(set(texts)) != len(texts):
        raise InvalidInput(f"{what} of {name}: two of them are equal as text")
    if "" in texts:
        raise InvalidInput(f"{what} of {name}: one is blank, but a blank cell is missing")
    return texts


def column_of(table: pd.DataFrame, name: str) -> Column:
    """The column that ``check_columns`` found, whatever type its label has."""
    position = [str(label) for label in table.columns].index(name)
    return Column(table.iloc[:, position], f"{_origin(table)}: column {name}")


def _numbers(
    table: pd.DataFrame, name: str, what: str, faults: Faults | None
) -> NDArray[np.float64]:
    """A column as float64, NaN where missing or masked."""
    try:
        numbers = column_of(table, name).numbers()
    except InvalidInput as error:
        raise InvalidInput(f"{error.message}, but {name} is {what}") from error
    bad = numbers.unreadable
    reason = f"not a number ({int(bad.sum())} such cells), but {name} is {what}"
    _unreadable(table, name, bad, reason, faults)
    infinite = np.isinf(numbers.values)
    reason = "infinite; leave the cell empty if the value is missing"
    _unreadable(table, name, infinite, reason, faults)
    return np.where(bad | infinite, np.nan, numbers.values)


def _unreadable(
    table: pd.DataFrame, name: str, bad: NDArray[np.bool_], reason: str, faults: Faults | None
) -> None:
    """Mask the rows [n] of bad cells; raise InvalidInput for the first one without ``faults``."""
    if faults is not None:
        faults.mask(name, bad)
    elif bad.any():
        row = int(np.flatnonzero(bad)[0]) + 1
        raise InvalidInput(f"{_origin(table)}: column {name}, row {row}: {reason}")


def _origin(table: pd.DataFrame) -> str:
    return str(table.attrs.get("source", "the table"))
