"""Tables as they are stored: read without guesses, their types kept until a cell is asked for.

``load_table`` reads a file; ``table_store`` writes a DataFrame so that it reads back the same.
``Column`` gives what a column's cells mean: numbers, or places among canonical texts.
"""

from federated.training.tables.canonical import MISSING_TEXTS, canonical
from federated.training.tables.cells import MISSING, UNLISTED, UNREADABLE, Column
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
