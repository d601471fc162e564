"""Text tables: what is read, and what is refused with its file and line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federated.errors import InvalidInput
from federated.training.data import encode, load_table
from federated.training.tables.text import LONGEST_LINE
from federated.wire.data import DataDictionary

VISITS = DataDictionary.parse(
    {
        "dataset": "visits",
        "features": [{"kind": "numeric", "name": "age", "lower": 0, "upper": 100}],
        "target": {"kind": "binary", "name": "sick"},
        "nominal_records": 10,
    }
)


@pytest.fixture
def read(tmp_path: Path):
    def load(content: str | bytes, name: str = "rows.csv") -> pd.DataFrame:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return load_table(path)

    return load


def plain(table: pd.DataFrame) -> dict[str, list]:
    return {name: table[name].tolist() for name in table.columns}


def test_a_comma_at_the_end_of_rows_shifts_no_column(read) -> None:
    with pytest.raises(InvalidInput) as caught:
        read("age,bp,sick,visits\n61,120,0,3,\n42,80,1,5,\n")
    assert caught.value.message == (
        "rows.csv, line 2: 5 cells, but the header has 4 names; every row needs one cell per name "
        "(a comma too many or an unquoted one shifts cells)"
    )


def test_a_comma_at_the_end_of_every_line_is_a_column_without_a_name(read) -> None:
    table = read("age,bp,sick,visits,\n61,120,0,3,\n42,80,1,5,\n")
    assert plain(table) == {
        "age": ["61", "42"],
        "bp": ["120", "80"],
        "sick": ["0", "1"],
        "visits": ["3", "5"],
    }
    assert encode(table, VISITS).target.tolist() == [0, 1]


def test_row_names_of_pandas_are_left_out(read) -> None:
    frame = pd.DataFrame({"age": [61, 42], "sick": [0, 1]}, index=["ann", "bob"])
    assert plain(read(frame.to_csv())) == {"age": ["61", "42"], "sick": ["0", "1"]}


def test_row_names_without_a_cell_in_the_header_are_refused(read) -> None:
    # As R's write.table writes them; a trailing comma looks the same.
    with pytest.raises(InvalidInput, match="line 2: 3 cells, but the header has 2 names"):
        read('"age","sick"\n"1",61,0\n"2",42,1\n')


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "line 1: empty; the first line must hold the columns' names"),
        ("\ufeff", "line 1: empty"),
        ("\nage,sick\n1,0\n", "line 1: blank"),
        (",,\n1,2,3\n", "line 1: holds no name"),
        ("age,sick,age\n1,0,2\n", "line 1: column age is there twice; each name must be unique"),
        ("age,sick\n1\n", "line 2: 1 cell, but the header has 2 names"),
        ("age,sick\n1,0\n1,0,2\n", "line 3: 3 cells"),
        ("age,sick\n1,0\n\n2,1\n", "line 3: blank; blank lines are allowed at the end only"),
        ("age,sick\n1,0\n  \n2,1\n", "line 3: 1 cell"),
        ("age,sick\n1,0\n1\x002,0\n", "line 3: holds a NUL"),
        ("age,si\x00ck\n1,0\n", "line 1: holds a NUL"),
        ('age,sick\n1,0\n"1,0\n2,0\n', "line 3: the quotes of this record do not match"),
        ('age,sick\n"1"2,0\n', "line 2: the quotes of this record do not match"),
        # The record begins on line 3 and ends on line 5; the next one is of line 6.
        ('age,sick\n1,0\n"a\nb\nc",0,1\n1,0\n', "line 3: 3 cells"),
        ('age,sick\n1,0\n"a\nb\nc",0\n1\n', "line 6: 1 cell"),
        ("age,sick\r1,0\r1,0,1\r", "line 3: 3 cells"),
        ("age,sick\r\n1,0\r\n1\r\n", "line 3: 1 cell"),
        ("age,sick\n" + "9" * 200_000 + ",0\n", "line 2: .* a cell is longer than 131,072"),
    ],
)
def test_what_could_be_misread_is_refused_with_its_line(read, content: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"^rows.csv, {reason}"):
        read(content)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\xff\xfea\x00", 1),
        ("age,sick\n1,0\nMüller,1\n".encode("latin-1"), 3),
        (b"age,sick\r1,0\r\xe9,1\r2,0\r", 3),
        (b"age,sick\n" + b"1,0\n" * 100_000 + b"\xc3\n", 100_002),
        (b"age,sick\n1,0\n2,1\n\xc3", 4),
        (b"age,sick\n\xed\xa0\x80,1\n", 2),
    ],
)
def test_bytes_that_are_not_utf_8_are_refused_with_their_line(read, content, line) -> None:
    with pytest.raises(InvalidInput, match=f"^rows.csv, line {line}: not UTF-8"):
        read(content)


def test_a_line_without_an_end_is_not_read_into_memory(read) -> None:
    with pytest.raises(InvalidInput, match="line 2: longer than 16,777,216 characters"):
        read("age,sick\n" + "," * LONGEST_LINE)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end", "end end end"])
def test_line_ends_of_every_system_are_read(read, end: str, last: str) -> None:
    content = f'age,sick{end}1,0{end}"2\n3",1' + last.replace("end", end).replace(" ", "")
    assert plain(read(content)) == {"age": ["1", "2\n3"], "sick": ["0", "1"]}


def test_a_byte_order_mark_is_no_part_of_a_name(read) -> None:
    assert plain(read("\ufeffage,sick\n1,0\n")) == {"age": ["1"], "sick": ["0"]}


def test_a_header_alone_is_a_table_without_rows(read) -> None:
    table = read("age,sick\n")
    assert (len(table), list(table.columns)) == (0, ["age", "sick"])
    with pytest.raises(InvalidInput, match="no row has a target"):
        encode(table, VISITS)


def test_names_keep_their_blanks(read) -> None:
    assert list(read("age, age,si ck ,\n1,2,3,4\n").columns) == ["age", " age", "si ck "]


def test_tabs_separate_tsv(read) -> None:
    assert plain(read('age\tsick\n"1\t2"\t0,5\n', "rows.tsv")) == {
        "age": ["1\t2"],
        "sick": ["0,5"],
    }
    with pytest.raises(InvalidInput, match=r"^rows\.tsv, line 2: 3 cells"):
        read("age\tsick\n1\t2\t\n", "rows.tsv")


def test_a_long_table_is_read_in_order(read) -> None:
    count = 20_001  # not a multiple of the rows that are converted at once
    table = read("age,sick\n" + "".join(f"{n},{n % 2}\n" for n in range(count)))
    assert table["age"].tolist() == [str(n) for n in range(count)]


def test_no_cell_is_shown_in_an_error(read) -> None:
    for content in ("age,sick\nsecret\n", 'age,sick\n"secret,1\n', "age,sick\nse\0cret,1\n"):
        with pytest.raises(InvalidInput) as caught:
            read(content)
        assert "secret" not in caught.value.message


@settings(max_examples=200, deadline=None)
@given(data=st.data(), end=st.sampled_from(["\n", "\r\n", "\r"]), tabs=st.booleans())
def test_what_the_csv_module_writes_comes_back(tmp_path_factory, data, end, tabs) -> None:
    width = data.draw(st.integers(1, 4))
    cell = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
    rows = data.draw(st.lists(st.lists(cell, min_size=width, max_size=width), max_size=5))
    header = [f"c{place}" for place in range(width)]
    text = io.StringIO()
    # Where a cell holds a lone CR, the writer of Python 3.11 quotes it only when told to.
    writer = csv.writer(
        text, delimiter="\t" if tabs else ",", lineterminator=end, quoting=csv.QUOTE_ALL
    )
    writer.writerows([header, *rows])
    path = tmp_path_factory.mktemp("csv") / ("t.tsv" if tabs else "t.csv")
    path.write_bytes(text.getvalue().encode())
    table = load_table(path)
    assert [list(row) for row in zip(*(table[name] for name in header), strict=True)] == rows


PIECES = st.sampled_from(
    ["a", "b", "1", ",", ",", "\n", "\n", "\r", "\r\n", '"', '""', " ", "\0", "é", "\ufeff", "\x85"]
)
RAW = st.one_of(
    st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode()),
    st.binary(max_size=30),
    st.lists(st.sampled_from([b"a", b",", b"\n", b"\r", b'"', b"\xc3", b"\xa9"]), max_size=30).map(
        b"".join
    ),
)


def oracle(content: bytes) -> tuple[list[str], list[list[str]]] | None:
    """The csv module with strict rules on the whole text; None where a table must be refused."""
    try:
        text = content.decode("utf-8-sig")
        if "\0" in text:
            return None
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        return None
    while rows and not rows[-1]:
        rows.pop()
    if not rows or any(len(row) != len(rows[0]) or not row for row in rows):
        return None
    header, *rest = rows
    named = [place for place, name in enumerate(header) if name.strip()]
    names = [header[place] for place in named]
    if not names or len(set(names)) != len(names):
        return None
    return names, [[row[place] for place in named] for row in rest]


@settings(max_examples=600, deadline=None)
@given(content=RAW)
def test_any_bytes_are_read_as_the_strict_csv_module_does_or_refused(
    tmp_path_factory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("raw") / "t.csv"
    path.write_bytes(content)
    expected = oracle(content)
    try:
        table = load_table(path)
    except InvalidInput as error:
        assert error.message.startswith("t.csv, line ")
        assert expected is None
        return
    assert expected is not None
    names, rows = expected
    assert list(table.columns) == names
    found = [table.iloc[:, place].tolist() for place in range(len(names))]
    assert [list(row) for row in zip(*found, strict=True)] == rows


NUMBER_TEXT = st.one_of(
    st.floats().map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.text("0123456789.eE+-_xinfa ", min_size=1, max_size=8),
    st.sampled_from(["1_000", "0x10", "١٢", "1e400", "-0", " 7 ", "+.5", "4.9e-324", "2" * 400]),
)


@settings(max_examples=400, deadline=None)
@given(text=NUMBER_TEXT, other=st.sampled_from(["1", "x", "1_0"]))
def test_a_number_is_what_float_makes_of_it(text: str, other: str) -> None:
    from federated.training.tables import MISSING_TEXTS, Column

    # A neighbour that is no number takes the way of single cells; both ways must agree.
    found = Column(pd.Series([text, other], dtype=object), "here").numbers()
    try:
        value = np.nan if text.strip() in MISSING_TEXTS else float(text)
        bad = "_" in text
    except ValueError:
        value, bad = np.nan, True
    if bad:
        value = np.nan
    assert found.unreadable[0] == bad
    np.testing.assert_array_equal(found.values[0], value)
    assert np.signbit(found.values[0]) == np.signbit(value) or np.isnan(value)
    assert found.unreadable[1] == (other != "1")


def test_numbers_with_underscores_and_in_hexadecimal_are_refused(read) -> None:
    for text in ("1_000", "0x10", "1,5"):
        table = read(f'age,sick\n1,0\n"{text}",1\n')
        with pytest.raises(InvalidInput, match="column age, row 2: not a number"):
            encode(table, VISITS)


def test_full_precision_is_kept(read) -> None:
    # pandas' fast parser reads this one unit in the last place too low.
    text = "0.30000000000000004"
    dictionary = DataDictionary.parse(
        {
            **VISITS.dump(),
            "target": {"kind": "binary", "name": "sick", "positive_above": float("0.3")},
        }
    )
    data = encode(read(f"age,sick\n1,{text}\n1,0.3\n"), dictionary)
    assert data.target.tolist() == [1, 0]
