"""How a table fits a data dictionary, for the people of the site that holds it.

Counts over the rows that ``encode`` takes, without noise: nothing of it may leave the site.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from federated.training.data import check_columns, column_of, listed_texts
from federated.training.tables import MISSING, UNLISTED, UNREADABLE
from federated.wire.data import (
    BinaryTarget,
    CategoricalFeature,
    DataDictionary,
    Feature,
    MulticlassTarget,
    NumericFeature,
    Target,
)

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_NAMED_IN_LINE = 5


@dataclass(frozen=True)
class ColumnFit:
    """Cells of one column, of ``rows``.

    ``unlisted`` cells hold a value that is not among the categories or classes; ``clamped`` ones a
    number out of the bounds; ``unreadable`` ones neither a number nor text, where one is needed.
    ``single`` says what all targets are, where they are all one class or number.
    """

    name: str
    kind: str
    rows: int
    missing: int = 0
    unlisted: int = 0
    clamped: int = 0
    unreadable: int = 0
    single: str | None = None

    @property
    def odd(self) -> int:
        """Cells that the dictionary does not take as they are."""
        return self.missing + self.unlisted + self.clamped + self.unreadable

    def line(self) -> str:
        """The shares above zero, in words."""
        counts = {
            name: getattr(self, name) for name in ("missing", "unlisted", "clamped", "unreadable")
        }
        shares = [f"{share(count, self.rows)} {name}" for name, count in counts.items() if count]
        return f"{self.name} {', '.join(shares)}"


@dataclass(frozen=True)
class TableFit:
    """A table's rows that are taken, its features' columns, and the target's."""

    source: str
    rows: int
    features: tuple[ColumnFit, ...]
    target: ColumnFit

    def line(self) -> str:
        """What people should know before they approve, in one line; the worst columns by name."""
        parts = [f"{self.rows} rows"]
        if self.target.single is not None:
            parts.append(f"all targets ({self.target.name}) are {self.target.single}")
        elif self.target.missing + self.target.unlisted == self.rows:
            parts.append(f"no row has a target ({self.target.name})")
        columns = [each for each in (self.target, *self.features) if each.odd]
        columns.sort(key=lambda each: -each.odd)
        parts += [each.line() for each in columns[:_NAMED_IN_LINE]]
        if len(columns) > _NAMED_IN_LINE:
            parts.append(f"{len(columns) - _NAMED_IN_LINE} more columns")
        if not columns:
            parts.append("no cell missing, unlisted or clamped")
        return f"{self.source}: " + "; ".join(parts)

    @property
    def notable(self) -> bool:
        """Whether a cell is unlisted, clamped or unreadable, or the target has one value only."""
        return self.target.single is not None or any(
            each.odd > each.missing or each.missing == each.rows
            for each in (self.target, *self.features)
        )

    def dump(self) -> dict[str, Any]:
        """The counts as plain values, for JSON."""
        return asdict(self)


def table_fit(table: pd.DataFrame, dictionary: DataDictionary) -> TableFit:
    """Count what of a table is missing, unlisted, clamped or unreadable.

    Raises InvalidInput as ``encode`` does for columns that are not there or hold another type.
    """
    check_columns(table, dictionary)
    rows = table.iloc[: dictionary.max_records]
    return TableFit(
        source=str(table.attrs.get("source", "the table")),
        rows=len(rows),
        features=tuple(_feature(rows, feature) for feature in dictionary.features),
        target=_target(rows, dictionary.target),
    )


def share(count: int, rows: int) -> str:
    """A count as a share; no count above zero is shown as none, and none below all as all."""
    percent = 100 * count / rows if rows else 0.0
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.3g}%"


def _feature(rows: pd.DataFrame, feature: Feature) -> ColumnFit:
    if isinstance(feature, CategoricalFeature):
        listed = listed_texts(feature.name, feature.categories, "categories")
        return _listed(rows, feature.name, feature.kind, listed)
    return _numeric(rows, feature.name, feature.kind, feature)


def _target(rows: pd.DataFrame, target: Target) -> ColumnFit:
    kind = f"{target.kind} target"
    if isinstance(target, MulticlassTarget):
        classes = listed_texts(target.name, target.classes, "classes")
        return _listed(rows, target.name, kind, classes, single=True)
    return _numeric(rows, target.name, kind, target)


def _listed(
    rows: pd.DataFrame, name: str, kind: str, listed: list[str], *, single: bool = False
) -> ColumnFit:
    places = column_of(rows, name).places(listed)
    found = np.unique(places[places >= 0])
    return ColumnFit(
        name=name,
        kind=kind,
        rows=len(places),
        missing=_count(places == MISSING),
        unlisted=_count(places == UNLISTED),
        unreadable=_count(places == UNREADABLE),
        single=f"class {listed[found[0]]}" if single and len(found) == 1 else None,
    )


def _numeric(rows: pd.DataFrame, name: str, kind: str, of: NumericFeature | Target) -> ColumnFit:
    numbers = column_of(rows, name).numbers()
    values = numbers.values
    unreadable = numbers.unreadable | np.isinf(values)
    missing = np.isnan(values) & ~unreadable
    if isinstance(of, NumericFeature):
        missing |= np.isin(values, of.missing_values)
    there = values[~missing & ~unreadable]
    clamped, single = 0, None
    if isinstance(of, BinaryTarget):
        single = _one_side(there, of)
    elif not isinstance(of, MulticlassTarget):
        clamped = _count((there < of.lower) | (there > of.upper))
        if not isinstance(of, NumericFeature) and len(there):
            kept = np.clip(there, of.lower, of.upper)
            single = "one number" if (kept == kept[0]).all() else None
    return ColumnFit(
        name=name,
        kind=kind,
        rows=len(values),
        missing=_count(missing),
        clamped=clamped,
        unreadable=_count(unreadable),
        single=single,
    )


def _one_side(there: NDArray[np.float64], target: BinaryTarget) -> str | None:
    positive = there > target.positive_above
    if not len(there) or positive.any() != positive.all():
        return None
    return f"{'above' if positive.all() else 'at most'} {target.positive_above:g}"


def _count(cells: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(cells))
