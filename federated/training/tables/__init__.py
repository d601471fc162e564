"""Tables as they are stored: read without guesses, their types kept until a cell is asked for.

``load_table`` reads a file, ``table_store`` writes a DataFrame so that it reads back the same.
``arrow_of`` gives a column as Arrow; ``numbers`` and ``Places`` say what its cells mean.
"""

from federated.training.tables.cells import (
    MISSING,
    MISSING_TEXTS,
    UNLISTED,
    UNREADABLE,
    Column,
    canonical,
)
from federated.training.tables.files import load_table, table_store

__all__ = [
    "MISSING",
    "MISSING_TEXTS",
    "UNLISTED",
    "UNREADABLE",
    "Column",
    "canonical",
    "load_table",
    "table_store",
]
