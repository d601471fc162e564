"""One value has one meaning, in whatever format and type it is stored."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.training.data import encode, load_table
from federated.training.tables import (
    MISSING,
    MISSING_TEXTS,
    UNLISTED,
    UNREADABLE,
    Column,
    canonical,
    table_store,
)
from federated.wire.data import DataDictionary


def column(values: pa.Array) -> Column:
    return Column(pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([values]))), "here")


def places(values: pa.Array, *listed: str) -> list[int]:
    return column(values).places([canonical(entry) for entry in listed]).tolist()


NOON = datetime(2027, 3, 1, 12, 30)
TYPED = [
    ("1", pa.int8(), 1),
    ("1", pa.uint8(), 1),
    ("-3", pa.int16(), -3),
    ("1", pa.float64(), 1.0),
    ("0.1", pa.float16(), np.float16(0.1)),
    ("0.1", pa.float32(), 0.1),
    ("0.1", pa.float64(), 0.1),
    ("0.10", pa.decimal32(5, 2), Decimal("0.10")),
    ("0.1", pa.decimal64(5, 2), Decimal("0.10")),
    ("0.1", pa.decimal128(5, 2), Decimal("0.10")),
    ("0.1", pa.decimal256(60, 2), Decimal("0.10")),
    ("1200", pa.decimal128(5, -2), Decimal("12E2")),
    ("0.0000001", pa.float64(), 1e-7),
    ("1e-07", pa.float32(), 1e-7),
    ("1e+20", pa.float64(), 1e20),
    ("9007199254740993", pa.int64(), 2**53 + 1),
    ("18446744073709551615", pa.uint64(), 2**64 - 1),
    ("0", pa.float64(), -0.0),
    ("true", pa.bool_(), True),
    ("2027-03-01", pa.date32(), date(2027, 3, 1)),
    ("2027-03-01", pa.date64(), date(2027, 3, 1)),
    ("2027-03-01", pa.timestamp("s"), datetime(2027, 3, 1)),
    ("2027-03-01", pa.timestamp("ns"), datetime(2027, 3, 1)),
    ("2027-03-01 12:30", pa.timestamp("ms"), NOON),
    ("2027-03-01T12:30:00", pa.timestamp("us"), NOON),
    ("2027-03-01T12:30:00.25", pa.timestamp("us"), NOON.replace(microsecond=250_000)),
    (
        "2027-03-01T11:30:00Z",
        pa.timestamp("us", "Europe/Berlin"),
        NOON.replace(tzinfo=UTC) - timedelta(hours=1),
    ),
    (
        "2027-03-01T12:30:00+01:00",
        pa.timestamp("us", "UTC"),
        NOON.replace(tzinfo=UTC) - timedelta(hours=1),
    ),
    ("06:30:00", pa.time32("s"), time(6, 30)),
    ("06:30:00.5", pa.time64("ns"), time(6, 30, 0, 500_000)),
    ("high risk", pa.string(), " high risk "),
    ("01", pa.large_string(), "01"),
    ("1E5", pa.string_view(), "1E5"),
    ("é", pa.binary(), "é".encode()),
    ("1", pa.large_binary(), b"1"),
    ("1", pa.binary_view(), b"1"),
    ("ab", pa.binary(2), b"ab"),
    ("NA", pa.string(), "NA"),
    ("nan", pa.string(), "nan"),
]


@pytest.mark.parametrize(("listed", "kind", "value"), TYPED)
def test_a_category_is_found_in_every_type_with_nulls_and_encodings(listed, kind, value) -> None:
    values = pa.array([value, None, value], kind)
    assert places(values, "other", listed) == [1, MISSING, 1]
    by_code = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), values.slice(0, 2))
    assert places(by_code, "other", listed) == [1, MISSING, MISSING, 1]
    if kind not in (pa.string_view(), pa.binary_view()):  # Arrow decodes no such runs
        by_run = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 4], pa.int32()), values)
        assert places(by_run, "other", listed) == [1, 1, MISSING, 1]
    absent = MISSING if listed in MISSING_TEXTS else UNLISTED
    assert places(values, "other", "others") == [absent, MISSING, absent]
    assert places(pa.array([], kind), "other", listed) == []


def test_missing_texts_are_missing_unless_they_are_listed() -> None:
    values = pa.array(["NA", " NA ", "nan", "", "  ", None, "x"])
    assert places(values, "NA", "x") == [0, 0, MISSING, MISSING, MISSING, MISSING, 1]
    assert places(pa.nulls(2), "NA", "x") == [MISSING, MISSING]
    assert places(pa.array([np.nan, 1.0]), "nan", "1") == [MISSING, 1]


def test_bytes_that_are_not_text_are_marked() -> None:
    cells = pa.array([b"\xff", b"a", None, b"7"])
    # A Parquet file may call any bytes text.
    called = pa.Array.from_buffers(pa.string(), len(cells), cells.buffers())
    for values in (cells, called, called.dictionary_encode()):
        assert places(values, "a", "b") == [UNREADABLE, 0, MISSING, UNLISTED]
        found = column(values).numbers()
        assert found.unreadable.tolist() == [True, True, False, False]
        assert found.values[3] == 7
        frame = pd.DataFrame(
            {"a": pd.arrays.ArrowExtensionArray(pa.chunked_array([values])), "y": 1}
        )
        wanted = dictionary({"kind": "categorical", "name": "a", "categories": ["a", "b"]})
        with pytest.raises(InvalidInput, match="column a, row 1: bytes that are not UTF-8"):
            encode(frame, wanted)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64())),
        pa.array([timedelta(1)]),
        pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2)),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"1" * 16], pa.binary(16))),
    ],
    ids=lambda values: str(values.type),
)
def test_types_without_a_text_are_refused_by_column(tmp_path: Path, values: pa.Array) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table({"a": values, "b": ["x"], "y": [1]})
    pyarrow.parquet.write_table(table, path)
    for feature in (
        {"kind": "categorical", "name": "a", "categories": ["1", "2"]},
        {"kind": "numeric", "name": "a", "lower": 0, "upper": 1},
    ):
        with pytest.raises(InvalidInput, match=r"^rows\.parquet: column a holds "):
            encode(load_table(path), dictionary(feature))
    # A column that nobody asks for may hold anything.
    other = {"kind": "categorical", "name": "b", "categories": ["x", "2"]}
    assert encode(load_table(path), dictionary(other)).features.tolist() == [[1, 0]]


def dictionary(*features: dict, **target: object) -> DataDictionary:
    return DataDictionary.parse(
        {
            "dataset": "cells",
            "features": list(features),
            "target": {"kind": "binary", "name": "y", **target},
            "nominal_records": 10,
        }
    )


@pytest.mark.parametrize(
    "values",
    [
        pa.array([0, 7, None]),
        pa.array([0, 7, None], pa.uint64()),
        pa.array([0, 7, None], pa.float16()),
        pa.array([0, 7, None], pa.float32()),
        pa.array([0, 7, np.nan]),
        pa.array(["0", " 7.0 ", "NA"]),
        pa.array(["0", "7", "nan"]).dictionary_encode(),
        pa.array([0, 7, None], pa.int64()).dictionary_encode(),
        pa.array([b"0", b"7", None]),
        pa.array([Decimal("0.00"), Decimal("7.00"), None]),
        pa.array(["0", "7", ""], pa.string_view()),
    ],
    ids=lambda values: str(values.type),
)
def test_numbers_are_read_from_every_type_that_holds_them(values: pa.Array) -> None:
    found = column(values).numbers()
    np.testing.assert_array_equal(found.values, [0, 7, np.nan])
    assert not found.unreadable.any()


def test_a_missing_code_and_a_threshold_mean_the_same_in_every_width(tmp_path: Path) -> None:
    feature = {"kind": "numeric", "name": "a", "lower": -10, "upper": 10, "missing_values": [-9.9]}
    wanted = dictionary(feature, positive_above=0.1)
    for kind, as_stored in (
        (pa.float16(), np.float16),
        (pa.float32(), np.float32),
        (pa.float64(), float),
        (pa.decimal128(3, 1), lambda number: Decimal(str(number))),
        (pa.string(), str),
    ):
        cells = {
            "a": pa.array([as_stored(-9.9), as_stored(0.1)], kind),
            "y": pa.array([as_stored(0.1), as_stored(0.2)], kind),
        }
        pyarrow.parquet.write_table(pa.table(cells), tmp_path / "rows.parquet")
        data = encode(load_table(tmp_path / "rows.parquet"), wanted)
        assert data.features[:, 0].tolist() == [0, np.float32(0.01)]
        assert data.target.tolist() == [0, 1]


def test_wide_integers_round_as_float_does() -> None:
    wide = [2**53 + 1, 2**63 - 1, -(2**53) - 1, 2**62 + 2**9 + 1]
    for values in (pa.array(wide), pa.array([*wide, None]), pa.array([str(n) for n in wide])):
        assert column(values).numbers().values[:4].tolist() == [float(str(n)) for n in wide]


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(), st.text("0123456789.eE+- :TZ", max_size=26)))
@example("2027-03-01T00:00:00.0")
@example("0001-01-01T00:30:00+01:00")
@example("0900-01-01T00:30:00+01:00")
@example("-.0e+0")
@example("1e+999")
def test_the_canonical_text_of_a_canonical_text_is_itself(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@settings(max_examples=300, deadline=None)
@given(value=st.floats(allow_nan=False, allow_infinity=False), width=st.sampled_from([32, 64]))
def test_a_floats_text_is_its_shortest_and_reads_back(value: float, width: int) -> None:
    kind = np.float32 if width == 32 else np.float64
    with np.errstate(over="ignore"):
        number = kind(value)
    if not np.isfinite(number):
        return
    cells = pa.array([number])
    assert places(cells, str(number), "x") == [0]
    assert places(cells, repr(number.item()) if width == 64 else f"{number:.9g}", "x") in (
        [0],
        [-2],
    )
    # numpy's shortest digits are the oracle of Arrow's.
    assert column(cells).numbers().values.tolist() == [float(str(number))]


INSTANTS = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))
DECIMALS = st.decimals(-(10**6), 10**6, places=3, allow_nan=False)
KINDS = {
    "int32": (pa.int32(), st.integers(-(2**31), 2**31 - 1), str),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1), str),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1), str),
    "float16": (pa.float16(), st.floats(-1000, 1000, width=16).map(np.float16), str),
    "float32": (
        pa.float32(),
        st.floats(width=32, allow_nan=False, allow_infinity=False),
        lambda v: str(np.float32(v)),
    ),
    "float64": (pa.float64(), st.floats(-1e300, 1e300), repr),
    "decimal": (pa.decimal128(12, 3), DECIMALS, str),
    "bool": (pa.bool_(), st.booleans(), str),
    "date": (pa.date32(), st.dates(), str),
    "timestamp": (pa.timestamp("us"), INSTANTS, str),
    "zoned": (
        pa.timestamp("us", "UTC"),
        INSTANTS.map(lambda at: at.replace(tzinfo=UTC)),
        lambda at: str(at.astimezone(timezone(timedelta(hours=5, minutes=30)))),
    ),
    "text": (
        pa.string(),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
        str,
    ),
    "bytes": (pa.binary(), st.text("aé1 .", max_size=5).map(str.encode), bytes.decode),
}
NUMERIC = ("int32", "int64", "uint64", "float16", "float32", "float64", "decimal", "bool")


@settings(max_examples=120, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted(KINDS)))
def test_one_table_has_the_same_bits_in_every_format(tmp_path_factory, data, name) -> None:
    kind, values, spell = KINDS[name]
    cells = data.draw(st.lists(st.none() | values, min_size=1, max_size=8))
    texts = ["" if cell is None else spell(cell) for cell in cells]
    listed = {canonical(text) for text in texts} - {""}
    features = [
        {"kind": "categorical", "name": "a", "categories": sorted(listed | {"zz1", "zz2"})},
        *(
            [{"kind": "numeric", "name": "n", "lower": -10, "upper": 1000, "missing_values": [1]}]
            if name in NUMERIC
            else []
        ),
    ]
    wanted = dictionary(*features)
    folder = tmp_path_factory.mktemp("same")
    target = [1] * len(cells)
    stored = pa.array(cells, kind)
    columns = {"a": stored, "n": stored, "y": target}
    pyarrow.parquet.write_table(pa.table(columns), folder / "t.parquet")
    coded = stored.dictionary_encode() if name != "float16" else stored
    pyarrow.parquet.write_table(
        pa.table({"a": coded, "n": coded, "y": pa.array(target, pa.float32())}),
        folder / "coded.parquet",
    )
    frame = pd.DataFrame({"a": texts, "n": texts, "y": target})
    frame.to_csv(folder / "t.csv", index=False, quoting=1)
    frame.to_csv(folder / "t.tsv", index=True, sep="\t", quoting=1)
    objects = pd.DataFrame({"a": cells, "n": cells, "y": target}, dtype=object)
    table_store(objects, folder / "objects.parquet")
    tables = [
        *(load_table(folder / each) for each in ("t.parquet", "coded.parquet", "t.csv", "t.tsv")),
        *((load_table(folder / "objects.parquet"), objects) if "float" not in name else ()),
    ]
    first, *others = (encode(table, wanted) for table in tables)
    assert first.features[:, : len(listed | {"zz1", "zz2"})].sum() == sum(
        canonical(text) in listed for text in texts
    )
    for other in others:
        assert other.features.tobytes() == first.features.tobytes()
        assert other.target.tobytes() == first.target.tobytes()


def test_what_pandas_and_arrow_write_as_csv_is_read_as_their_tables(tmp_path: Path) -> None:
    table = pa.table(
        {
            "f32": pa.array([0.1, None], pa.float32()),
            "dec": pa.array([Decimal("0.10"), None]),
            "code": pa.array([7, None]),
            "day": pa.array([date(2027, 3, 1), None]),
            "at": pa.array([datetime(2027, 3, 1), None], pa.timestamp("ms")),
            "flag": pa.array([True, None]),
            "y": pa.array([1, 0]),
        }
    )
    listed = ["0.1", "0.1", "7", "2027-03-01", "2027-03-01", "True"]
    wanted = dictionary(
        *(
            {"kind": "categorical", "name": name, "categories": [text, "other"]}
            for name, text in zip(table.column_names, listed, strict=False)
        )
    )
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    pyarrow.csv.write_csv(table, tmp_path / "arrow.csv")
    table.to_pandas().to_csv(tmp_path / "pandas.csv")
    frame = table.to_pandas()  # codes become floats, flags objects
    for source in (*(tmp_path / each for each in ("t.parquet", "arrow.csv", "pandas.csv")), frame):
        features = encode(load_table(source), wanted).features
        assert features.tolist() == [[1, 0] * 6, [0] * 12]


def test_names_that_repeat_in_parquet_are_refused_where_they_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    columns = [pa.array([1]), pa.array([2]), pa.array([1]), pa.array([5])]
    pyarrow.parquet.write_table(pa.table(columns, names=["a", "a", "y", ""]), path)
    wide = {"kind": "numeric", "name": "a", "lower": 0, "upper": 10}
    with pytest.raises(InvalidInput, match=r"^rows\.parquet: column a is there twice"):
        encode(load_table(path), dictionary(wide))
    pyarrow.parquet.write_table(pa.table(columns, names=["b", "b", "y", "a x"]), path)
    found = encode(load_table(path), dictionary({**wide, "name": "a x"}))
    assert found.features.tolist() == [[0]]


def test_columns_of_a_frame_are_found_by_the_text_of_their_label() -> None:
    frame = pd.DataFrame([[5, 1]], columns=[0, "y"])
    data = encode(frame, dictionary({"kind": "numeric", "name": "0", "lower": 0, "upper": 10}))
    assert data.features.tolist() == [[0]]


def test_mixed_objects_are_stored_as_they_are_encoded(tmp_path: Path) -> None:
    cells = [1, 1.0, "1", np.float32(0.1), Decimal("0.10"), True, None, date(2027, 3, 1), b"1"]
    frame = pd.DataFrame({"a": cells, "y": [1] * len(cells)})
    frame.index = range(5, 5 + len(cells))
    categories = ["1", "0.1", "True", "2027-03-01"]
    wanted = dictionary({"kind": "categorical", "name": "a", "categories": categories})
    table_store(frame, tmp_path / "kept.parquet")
    for table in (frame, load_table(tmp_path / "kept.parquet")):
        found = encode(table, wanted).features @ np.arange(1, 5)
        assert found.tolist() == [1, 1, 1, 2, 2, 3, 0, 4, 1]
    widths = pd.Series([np.float32(0.1), 0.1, np.float16(0.1), 1], dtype=object)
    assert Column(widths, "here").places(["0.1", "1"]).tolist() == [0, 0, 0, 1]
    with pytest.raises(InvalidInput, match="column a holds object objects"):
        table_store(pd.DataFrame({"a": [object(), 1]}), tmp_path / "no.parquet")


ZONED = datetime(2027, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=1)))
SHORT = np.float32(0.1)


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        ((date(2027, 3, 1), NOON), ("2027-03-01", "2027-03-01T12:30:00")),
        ((NOON, ZONED), ("2027-03-01T12:30:00", "2027-03-01T11:30:00Z")),
        ((date(2027, 3, 1), 1), ("2027-03-01", "1")),
        ((time(6, 30), 1), ("06:30:00", "1")),
        ((SHORT, 0.5), ("0.1", "0.5")),
        (
            (pd.Timestamp("2027-03-01T12:30:00.000000001"), pd.Timestamp("2027-03-02")),
            ("2027-03-01T12:30:00.000000001", "2027-03-02"),
        ),
        (
            (datetime(1880, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28))), "x"),
            ("1879-12-31T23:06:32Z", "x"),
        ),
    ],
    ids=repr,
)
def test_no_object_takes_the_type_of_another_one(tmp_path: Path, cells, texts) -> None:
    for order in (cells, cells[::-1]):
        objects = pd.Series(order, dtype=object)
        for values in (objects, pd.Series(pd.Categorical(order, pd.Index(order, dtype=object)))):
            table_store(pd.DataFrame({"a": values}), tmp_path / "kept.parquet")
            kept = Column(load_table(tmp_path / "kept.parquet")["a"], "here")
            for found in (Column(values, "here"), kept):
                wanted = [cells.index(cell) for cell in order]
                assert found.places(texts).tolist() == wanted


def test_the_byte_order_of_a_column_changes_nothing() -> None:
    for kind in (">f2", ">f4", ">f8"):
        found = Column(pd.Series(np.array([0.1], dtype=kind)), "here")
        assert found.places(["0.1"]).tolist() == [0]
        assert found.numbers().values.tolist() == [0.1]
    assert Column(pd.Series(np.array([7], dtype=">i4")), "here").places(["7"]).tolist() == [0]


def test_text_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": pd.Series(["\ud800", "b"], dtype=object)})
    with pytest.raises(InvalidInput, match="column a holds text that is not Unicode"):
        table_store(frame, tmp_path / "kept.parquet")


@pytest.mark.parametrize(
    ("categories", "reason"),
    [
        (["0.1", "0.10"], "two of them are equal as text"),
        (["2027-03-01", "2027-03-01 00:00:00"], "two of them are equal as text"),
        (["a", " "], "one is blank, but a blank cell is missing"),
    ],
)
def test_categories_that_no_cell_could_tell_apart_are_refused(categories, reason) -> None:
    wanted = dictionary({"kind": "categorical", "name": "a", "categories": categories})
    with pytest.raises(InvalidInput, match=f"categories of a: {reason}"):
        encode(pd.DataFrame({"a": ["x"], "y": [1]}), wanted)
