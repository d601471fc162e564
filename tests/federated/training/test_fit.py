"""What a site's people see of their own rows before they approve."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from federated.errors import InvalidInput
from federated.training.data import load_table
from federated.training.fit import share, table_fit
from federated.wire.data import DataDictionary

DICTIONARY = DataDictionary.parse(
    {
        "dataset": "visits",
        "features": [
            {"kind": "numeric", "name": "age", "lower": 0, "upper": 100, "missing_values": [-9]},
            {"kind": "categorical", "name": "grade", "categories": ["1", "NA"]},
        ],
        "target": {"kind": "binary", "name": "sick"},
        "nominal_records": 10,
        "max_records": 8,
    }
)
TEXT = (
    "age,grade,sick\n5,1,0\n-9,1.0,1\n,NA,1\n101,2,1\n-1,,\nold,x,1\ninf,nan,no\n50,1,0\n999,9,9\n"
)


def of(target: dict, values: list) -> str | None:
    dictionary = DataDictionary.parse({**DICTIONARY.dump(), "target": {**target, "name": "sick"}})
    frame = pd.DataFrame({"age": 1, "grade": "1", "sick": values})
    return table_fit(frame, dictionary).target.single


def test_cells_are_counted_by_column_over_the_rows_that_are_taken(tmp_path) -> None:
    (tmp_path / "rows.csv").write_text(TEXT)
    fit = table_fit(load_table(tmp_path / "rows.csv"), DICTIONARY)
    age, grade = fit.features
    assert (fit.rows, fit.source) == (8, "rows.csv")
    assert (age.missing, age.clamped, age.unreadable, age.unlisted) == (2, 2, 2, 0)
    assert (grade.missing, grade.unlisted, grade.clamped, grade.unreadable) == (2, 2, 0, 0)
    target = fit.target
    assert (target.missing, target.unreadable, target.single) == (1, 1, None)
    assert fit.notable
    assert fit.line() == (
        "rows.csv: 8 rows; age 25% missing, 25% clamped, 25% unreadable; "
        "grade 25% missing, 25% unlisted; sick 12.5% missing, 12.5% unreadable"
    )
    assert json.loads(json.dumps(fit.dump()))["features"][1]["unlisted"] == 2


def test_a_category_that_matches_nothing_is_plain_to_see() -> None:
    frame = pd.DataFrame({"age": 1, "grade": ["a", "b"], "sick": [0, 1]})
    fit = table_fit(frame, DICTIONARY)
    assert fit.notable
    assert fit.line() == "the table: 2 rows; grade 100% unlisted"


def test_a_table_that_fits_says_so() -> None:
    fit = table_fit(pd.DataFrame({"age": 1, "grade": "1", "sick": [0, 1]}), DICTIONARY)
    assert not fit.notable
    assert fit.line() == "the table: 2 rows; no cell missing, unlisted or clamped"


@pytest.mark.parametrize(
    ("target", "values", "single"),
    [
        ({"kind": "binary"}, [1, 2, np.nan], "above 0"),
        ({"kind": "binary", "positive_above": 5}, [1, 5], "at most 5"),
        ({"kind": "binary"}, [0, 1], None),
        ({"kind": "binary"}, [np.nan, np.nan], None),
        ({"kind": "multiclass", "classes": ["a", "b"]}, ["a", "a ", "c"], "class a"),
        ({"kind": "multiclass", "classes": ["a", "b"]}, ["a", "b"], None),
        ({"kind": "multiclass", "classes": ["a", "b"]}, ["c", None], None),
        ({"kind": "regression", "lower": 0, "upper": 9}, [9, 10], "one number"),
        ({"kind": "regression", "lower": 0, "upper": 9}, [9, 8], None),
    ],
)
def test_targets_that_are_all_one_class_are_named(target, values, single) -> None:
    assert of(target, values) == single


def test_the_target_comes_first_in_the_line() -> None:
    frame = pd.DataFrame({"age": 1, "grade": "1", "sick": [1, 1]})
    fit = table_fit(frame, DICTIONARY)
    assert fit.notable
    assert fit.line().startswith("the table: 2 rows; all targets (sick) are above 0")
    nobody = table_fit(frame.assign(sick=np.nan), DICTIONARY)
    assert "no row has a target (sick)" in nobody.line()
    assert table_fit(frame.iloc[:0], DICTIONARY).rows == 0


def test_many_columns_are_counted_in_the_line_not_listed() -> None:
    features = [
        {"kind": "numeric", "name": f"x{place}", "lower": 0, "upper": 1} for place in range(20)
    ]
    dictionary = DataDictionary.parse({**DICTIONARY.dump(), "features": features})
    frame = pd.DataFrame({**{f"x{place}": [9, 9] for place in range(20)}, "sick": [0, 1]})
    assert table_fit(frame, dictionary).line().endswith("x4 100% clamped; 15 more columns")


@pytest.mark.parametrize(
    ("count", "rows", "shown"),
    [
        (0, 0, "0%"),
        (1, 10_000, "<0.1%"),
        (9_999, 10_000, ">99.9%"),
        (1, 3, "33.3%"),
        (3, 3, "100%"),
    ],
)
def test_a_share_above_none_is_never_shown_as_none(count: int, rows: int, shown: str) -> None:
    assert share(count, rows) == shown


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no column grade"):
        table_fit(pd.DataFrame({"age": [1], "sick": [1]}), DICTIONARY)
