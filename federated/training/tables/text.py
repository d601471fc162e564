"""Text tables (CSV, TSV), read strictly: a table that two programs could read apart is refused.

- UTF-8, with or without a byte order mark; lines end with LF, CR LF or CR.
- The first line holds the columns' names. No name occurs twice.
- Every row has as many cells as the header. Cells with the separator or a line end are quoted as
  RFC 4180 says (section 2); in a cell that does not begin with a quote, a quote is text.
- A column without a name is left out. So the row names that pandas writes (an empty first name, a
  cell for it in every row) are left out, and a header that lacks a cell is refused.
- No NUL. No blank line but at the end.

Cells come back as text. An error names the file and the line where the record starts, and never
shows a cell.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

from federated.errors import InvalidInput
from federated.extras import needs

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = {".csv": ",", ".tsv": "\t"}
LONGEST_LINE = 1 << 24
_ROWS_AT_ONCE = 8192


def read_text(path: Path) -> tuple[list[str], list[pa.ChunkedArray]]:
    """The names and the text columns of a ``.csv`` or ``.tsv`` file.

    Raises InvalidInput naming file, line and what is allowed.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _read(file, path)
    except UnicodeDecodeError as error:
        line = _undecodable_line(path)
        raise InvalidInput(f"{path.name}, line {line}: not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise InvalidInput(f"{path.name}: cannot be read ({error.strerror})") from error


def _read(file: IO[str], path: Path) -> tuple[list[str], list[pa.ChunkedArray]]:
    with needs("train"):
        import pyarrow as pa

    records = _records(file, path)
    _, header = next(records, (1, None))
    if header is None:
        _refuse(path, 1, "empty; the first line must hold the columns' names")
    _check_header(header, path)
    width = len(header)
    named = [position for position, name in enumerate(header) if name.strip()]
    chunks: list[list[pa.Array]] = [[] for _ in named]
    rows: list[list[str]] = []

    def flush() -> None:
        columns = list(zip(*rows, strict=True)) or [()] * width
        for chunk, position in zip(chunks, named, strict=True):
            chunk.append(pa.array(columns[position], pa.string()))
        rows.clear()

    for line, row in records:
        if len(row) != width:
            _refuse(
                path,
                line,
                f"{_count(len(row), 'cell')}, but the header has {_count(width, 'name')}; every "
                "row needs one cell per name (a comma too many or an unquoted one shifts cells)",
            )
        rows.append(row)
        if len(rows) == _ROWS_AT_ONCE:
            flush()
    flush()
    names = [header[position] for position in named]
    return names, [pa.chunked_array(chunk, pa.string()) for chunk in chunks]


def _records(file: IO[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Records with the line where each starts, without blank lines at the end."""
    reader = csv.reader(_lines(file, path), delimiter=SEPARATORS[path.suffix.lower()], strict=True)
    line, blank = 1, 0
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            limit = csv.field_size_limit()
            _refuse(
                path,
                line,
                f"the quotes of this record do not match, or a cell is longer than {limit:,} "
                'characters; a quote inside a quoted cell is written ""',
                error,
            )
        if row is None:
            return
        if not row:
            blank = blank or line
        elif blank:
            _refuse(path, blank, "blank; blank lines are allowed at the end only")
        else:
            yield line, row
        line = reader.line_num + 1


def _lines(file: IO[str], path: Path) -> Iterator[str]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            _refuse(path, number, f"longer than {LONGEST_LINE:,} characters")
        if "\0" in line:
            _refuse(path, number, "holds a NUL; cells hold text")
        yield line


def _check_header(header: list[str], path: Path) -> None:
    named = Counter(name for name in header if name.strip())
    if not named:
        _refuse(path, 1, "holds no name; the first line must hold the columns' names")
    twice = [name for name, count in named.items() if count > 1]
    if twice:
        _refuse(path, 1, f"column {', '.join(twice)} is there twice; each name must be unique")


def _undecodable_line(path: Path) -> int:
    """The first line with bytes that are not UTF-8."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        number = 1
        while part := file.readline(LONGEST_LINE):
            if not part.isascii() and any("\udc80" <= each <= "\udcff" for each in part):
                return number
            number += part[-1] in "\r\n"
    return number


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _refuse(path: Path, line: int, reason: str, cause: Exception | None = None) -> NoReturn:
    raise InvalidInput(f"{path.name}, line {line}: {reason}") from cause
