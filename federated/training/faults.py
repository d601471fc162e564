"""Cells that cannot be read: refused before a job is approved, masked and counted afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass
class Faults:
    """Which rows [n] hold a cell that cannot be read, and how many such cells each column has.

    Such a row is masked: it contributes nothing, as if it had no target. The counts are for the
    site's own people and are never sent.
    """

    rows: NDArray[np.bool_]
    cells: dict[str, int] = field(default_factory=dict)

    def mask(self, column: str, bad: NDArray[np.bool_]) -> None:
        """Mask the rows [n] whose cell of this column cannot be read."""
        if bad.any():
            self.rows |= bad
            self.cells[column] = self.cells.get(column, 0) + int(bad.sum())

    def line(self, origin: str) -> str:
        """The counts in one line that shows no cell; empty where nothing was masked."""
        if not self.cells:
            return ""
        columns = ", ".join(f"{name} {count}" for name, count in self.cells.items())
        return (
            f"{origin}: {int(self.rows.sum())} of {len(self.rows)} rows masked, they contribute "
            f"nothing; cells that cannot be read by column: {columns} (stays here)"
        )
