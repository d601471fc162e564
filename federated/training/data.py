"""Private tables, and the one rule by which they become model inputs.

Reading: Parquet, CSV or a pandas DataFrame. In CSV the empty cell, NA, N/A, NaN, nan, null and
NULL are missing.

Numeric columns hold numbers, their text, or booleans (true is 1, false is 0). Missing values
become 0 after scaling, values out of bounds are clamped, infinity and other text are refused.

Categorical cells compare with the categories as text, blanks stripped. A number without a
fraction is written without one (1.0 equals "1"), booleans in any case are "True" and "False".
Missing and unlisted values become all zeros.

Targets: binary ones become 0 or 1; classes their place in the list, compared as categories are;
numbers are clamped to their bounds and scaled to [-1, 1]. A row without a target, or of a class
that is not listed, is left out.

Rows keep their place: of a table longer than ``max_records`` the first ``max_records`` rows are
taken, then those without a target are left out. So blanking out a record never moves another one
in, and one record's influence stays one record's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.extras import needs
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

_MISSING_TEXT = ["", "NA", "N/A", "NaN", "nan", "null", "NULL"]
_BOOLEANS = {"true": "1", "false": "0"}
_WHOLE = re.compile(r"([+-]?\d+)\.0*")


@dataclass(frozen=True)
class Dataset:
    """Encoded records: features float32 [n, width] in [-1, 1], target float32 [n].

    The target is 0 or 1 (binary), a class's place in the list, or a number in [-1, 1].
    """

    features: NDArray[np.float32]
    target: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.target)


def load_table(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """The table in a ``.parquet`` or ``.csv`` file, or the DataFrame itself.

    Raises InvalidInput that names the file for another format, a missing or an unreadable file.
    """
    with needs("train"):
        import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    path = Path(source)
    if path.suffix.lower() not in (".parquet", ".pq", ".csv"):
        raise InvalidInput(f"{path.name}: not a .parquet or .csv file (or give a DataFrame)")
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file")
    try:
        if path.suffix.lower() == ".csv":
            # Text as written: pandas' guesses would turn the category "01" into 1.
            table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=_MISSING_TEXT)
        else:
            with needs("train"):
                import pyarrow.parquet

            table = pyarrow.parquet.ParquetFile(path).read().to_pandas(ignore_metadata=True)
    except (ValueError, OSError, UnicodeDecodeError) as error:
        kind = "CSV" if path.suffix.lower() == ".csv" else "Parquet"
        raise InvalidInput(f"{path.name}: cannot be read as {kind}") from error
    table.attrs["source"] = path.name
    return table


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
    check_columns(table, dictionary)
    table = table.iloc[: dictionary.max_records]
    target = _target(table, dictionary.target)
    there = ~np.isnan(target)
    if not there.any():
        listed = " of a listed class" if isinstance(dictionary.target, MulticlassTarget) else ""
        raise InvalidInput(
            f"{_origin(table)}: no row has a target{listed} (column {dictionary.target.name})"
        )
    columns = [
        _scaled(table, feature)
        if isinstance(feature, NumericFeature)
        else _indicators(table, feature)
        for feature in dictionary.features
    ]
    features = np.concatenate(columns, axis=1).astype(np.float32)
    return Dataset(features=features[there], target=target[there].astype(np.float32))


def _target(table: pd.DataFrame, target: Target) -> NDArray[np.float64]:
    """Encoded targets, NaN where a row has none."""
    if isinstance(target, MulticlassTarget):
        return _places(table, target.name, target.classes, "classes")
    values = _numbers(table, target.name, "the target")
    if isinstance(target, BinaryTarget):
        positive = (values > target.positive_above).astype(np.float64)
        return np.where(np.isnan(values), np.nan, positive)
    return _between(values, target)


def with_target(table: pd.DataFrame, dictionary: DataDictionary) -> NDArray[np.bool_]:
    """Which of the first ``max_records`` rows have a target: those that ``encode`` keeps, in order.

    Raises InvalidInput as ``encode`` does for the target's column.
    """
    check_columns(table, dictionary)
    rows = table.iloc[: dictionary.max_records]
    there: NDArray[np.bool_] = ~np.isnan(_target(rows, dictionary.target))
    return there


def _scaled(table: pd.DataFrame, feature: NumericFeature) -> NDArray[np.float64]:
    values = _numbers(table, feature.name, "a numeric feature")
    missing = np.isnan(values) | np.isin(values, feature.missing_values)
    return np.where(missing, 0.0, _between(values, feature))[:, None]


def _between(
    values: NDArray[np.float64], bounds: NumericFeature | RegressionTarget
) -> NDArray[np.float64]:
    """Clamped to the bounds and scaled to [-1, 1]; NaN stays."""
    width = bounds.upper - bounds.lower
    scaled = 2 * (np.clip(values, bounds.lower, bounds.upper) - bounds.lower) / width - 1
    return np.asarray(scaled)


def _indicators(table: pd.DataFrame, feature: CategoricalFeature) -> NDArray[np.float64]:
    places = _places(table, feature.name, feature.categories, "categories")
    return np.asarray(places[:, None] == np.arange(len(feature.categories)), dtype=np.float64)


def _places(
    table: pd.DataFrame, name: str, listed: tuple[str, ...], what: str
) -> NDArray[np.float64]:
    """Each cell's place among the listed texts, NaN where it is missing or not listed."""
    texts = [_text(entry) for entry in listed]
    if len(set(texts)) != len(texts):
        raise InvalidInput(f"{what} of {name}: two of them are equal as text")
    place = {text: float(position) for position, text in enumerate(texts)}
    column = table[name]
    missing = column.isna().to_numpy(dtype=bool)
    return np.array(
        [
            np.nan if absent else place.get(_text(cell), np.nan)
            for cell, absent in zip(column.tolist(), missing, strict=True)
        ],
        dtype=np.float64,
    )


def _text(cell: Any) -> str:
    text = str(cell).strip()
    if text.lower() in _BOOLEANS:
        return text.capitalize()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _numbers(table: pd.DataFrame, name: str, what: str) -> NDArray[np.float64]:
    """A column as float64, NaN where missing."""
    with needs("train"):
        import pandas as pd

    column = table[name]
    if column.dtype.kind in "iufb":
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    elif pd.api.types.is_string_dtype(column.dtype) or column.dtype == object:
        missing = column.isna().to_numpy(dtype=bool)
        texts = column.map(_digits)
        values = pd.to_numeric(texts.where(~missing), errors="coerce").to_numpy(dtype=np.float64)
        bad = np.flatnonzero(np.isnan(values) & ~missing)
        if len(bad):
            raise InvalidInput(
                f"{_origin(table)}: column {name}, row {bad[0] + 1}: not a number "
                f"({len(bad)} such cells), but {name} is {what}"
            )
    else:
        raise InvalidInput(
            f"{_origin(table)}: column {name} holds {column.dtype}, but {name} is {what}"
        )
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise InvalidInput(
            f"{_origin(table)}: column {name}, row {infinite[0] + 1}: infinite; "
            "leave the cell empty if the value is missing"
        )
    return np.asarray(values, dtype=np.float64)


def _digits(cell: Any) -> str:
    text = str(cell).strip()
    return _BOOLEANS.get(text.lower(), text)


def _origin(table: pd.DataFrame) -> str:
    return str(table.attrs.get("source", "the table"))
