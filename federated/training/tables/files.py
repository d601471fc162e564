"""Reading a table from a file, and keeping a DataFrame as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from federated.errors import InvalidInput
from federated.extras import needs
from federated.training.tables.cells import Column
from federated.training.tables.text import SEPARATORS, read_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_PARQUET = (".parquet", ".pq")


def load_table(source: str | Path | pd.DataFrame) -> pd.DataFrame:
    """The table in a ``.parquet``, ``.csv`` or ``.tsv`` file, or the DataFrame itself.

    Columns keep the type that the file gives them (pandas' ArrowDtype); those of text files are
    text. Raises InvalidInput that names the file, and in a text file the line, for another
    format, a missing or an unreadable file.
    """
    with needs("train"):
        import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix not in (*_PARQUET, *SEPARATORS):
        raise InvalidInput(f"{path.name}: not a .parquet, .csv or .tsv file (or give a DataFrame)")
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file")
    names, columns = read_text(path) if suffix in SEPARATORS else _read_parquet(path)
    extension = {
        place: pd.arrays.ArrowExtensionArray(column) for place, column in enumerate(columns)
    }
    table = pd.DataFrame(extension)
    table.columns = pd.Index(names, dtype=object)
    table.attrs["source"] = path.name
    return table


def _read_parquet(path: Path) -> tuple[list[str], list[pa.ChunkedArray]]:
    with needs("train"):
        import pyarrow as pa
        import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InvalidInput(f"{path.name}: cannot be read as Parquet") from error
    return table.column_names, table.columns


def table_store(table: pd.DataFrame, path: Path) -> None:
    """Write a DataFrame's columns as Parquet, without its index.

    A column of mixed Python objects is kept as the texts that the data rule gives its cells, so
    that the file encodes as the DataFrame does. Raises InvalidInput for a column that neither
    Arrow nor the rule can hold.
    """
    with needs("train"):
        import pyarrow as pa
        import pyarrow.parquet

    names = [str(name) for name in table.columns]
    columns = [
        Column(table.iloc[:, place], f"column {name}").arrow for place, name in enumerate(names)
    ]
    try:
        pyarrow.parquet.write_table(pa.table(columns, names=names), path)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise InvalidInput("the table cannot be kept as Parquet; give a file") from error
