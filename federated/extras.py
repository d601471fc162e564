"""The packages that a base install leaves out, and the error of a name that needs one.

The base install verifies, replays, signs and aggregates. ``pip install
'federated-simulation-cloud[train]'`` adds what reads tables, trains and takes torch models or phe
keys; ``[bench]`` adds what measures workloads and computes private statistics in process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from federated.errors import Unavailable

EXTRAS = {
    "train": ("pandas", "phe", "pyarrow", "sklearn", "torch"),
    "bench": ("diffprivlib", "psutil"),
}
"""Top-level modules of each extra that this package imports."""


class MissingExtra(Unavailable):
    """A name that needs a package which is not installed here; the message says how to get it."""

    code = "extra_missing"
    title = "A package for this is not installed"
    retryable = False


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Surround the imports of an extra's packages, inside the function that uses them.

    Raises MissingExtra with the ``pip install`` line where one of these packages is absent. Any
    other failure to import passes through: a broken install is not a missing one.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS[extra]:
            raise
        raise MissingExtra(f"{module} is not installed: run {install_line(extra)}") from error


def install_line(extra: str) -> str:
    return f"pip install 'federated-simulation-cloud[{extra}]'"
