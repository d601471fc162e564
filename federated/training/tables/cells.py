"""What a cell means: a number, or one canonical text for each value of each Arrow type.

The texts are those of ``canonical``; a cell without a value has none. A float counts by its
shortest decimal in its own width, as a number too: -9.9 as float32 is -9.9, as in a text file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from federated.errors import InvalidInput
from federated.extras import needs
from federated.training.tables.canonical import MISSING_TEXTS, canonical, number_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MISSING, UNLISTED, UNREADABLE = -1, -2, -3
_CELLS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Numbers:
    """A column as float64 [n]: NaN where missing, infinities as they are.

    ``unreadable`` [n] marks cells that hold no number; their value is NaN.
    """

    values: NDArray[np.float64]
    unreadable: NDArray[np.bool_]


class Column:
    """One column of a DataFrame. ``where`` names it in errors."""

    def __init__(self, column: pd.Series[Any], where: str) -> None:
        self._column = column
        self._where = where

    def numbers(self) -> Numbers:
        """Raises InvalidInput for a type that holds no numbers, such as dates and lists."""
        with needs("train"):
            import pyarrow as pa
            from pyarrow import compute

        stored, kind = self._simple, self._simple.type
        types = pa.types
        if types.is_boolean(kind):
            values = stored.cast(pa.float64()).to_numpy(zero_copy_only=False)
        elif types.is_integer(kind) or types.is_float64(kind):
            values = stored.to_numpy(zero_copy_only=False)
        elif types.is_float16(kind):
            values = _by_value(stored.to_numpy(zero_copy_only=False), lambda each: float(str(each)))
        elif types.is_float32(kind):
            values = compute.cast(compute.cast(stored, pa.string()), pa.float64()).to_numpy(
                zero_copy_only=False
            )
        elif types.is_large_string(kind) or types.is_large_binary(kind):
            return _numbers_of_text(stored)
        else:
            raise InvalidInput(f"{self._where} holds {self._type}, not numbers")
        values = np.array(values, dtype=np.float64)
        return Numbers(values, np.zeros(len(values), dtype=np.bool_))

    def places(self, listed: Sequence[str]) -> NDArray[np.int64]:
        """Each cell's place among canonical texts; else MISSING, UNLISTED or UNREADABLE.

        Cells without a value are missing, and of the others those of blank text; NA, NaN and the
        other MISSING_TEXTS are missing unless they are listed. UNREADABLE are bytes that are not
        UTF-8. Raises InvalidInput for a type whose values have no text, such as lists.
        """
        place = {text: position for position, text in enumerate(listed)}

        def of(text: str | None) -> int:
            if text is None:
                return UNREADABLE
            found = place.get(canonical(text))
            if found is not None:
                return found
            return MISSING if text.strip() in MISSING_TEXTS else UNLISTED

        codes, texts = self._texts()
        # The last one is taken by the code -1 of a missing cell.
        known = np.array([*map(of, texts), MISSING], dtype=np.int64)
        return known[codes]

    @cached_property
    def arrow(self) -> pa.ChunkedArray:
        """The column as Arrow; null where pandas says missing.

        Python objects of several types become their texts. Raises InvalidInput for objects without
        one.
        """
        with needs("train"):
            import pyarrow as pa

        column = self._column
        if hasattr(column.array, "__arrow_array__") and hasattr(column.dtype, "pyarrow_dtype"):
            return column.array.__arrow_array__()
        if isinstance(column.dtype, np.dtype) and not column.dtype.isnative:
            column = column.astype(column.dtype.newbyteorder("="))
        if self._mixed:
            return pa.chunked_array([self._object_texts()])
        try:
            found = pa.array(column, from_pandas=True)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            found = self._object_texts()
        return found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])

    @property
    def _mixed(self) -> bool:
        """Whether Arrow would take a type from some Python objects and change others to it.

        It reads 1 after a date as 1970-01-02, drops the time of a moment after a date and the zone
        of one after a moment without, cuts nanoseconds, and widens numpy's short floats.
        """
        column = self._column
        objects = column.cat.categories if hasattr(column, "cat") else column
        if objects.dtype != object:
            return False
        types = set(map(type, objects.dropna()))
        several = len(types) > 1 and not types <= {str, bytes}
        return several or any(issubclass(each, datetime | time) for each in types)

    def _object_texts(self) -> pa.Array:
        with needs("train"):
            import pyarrow as pa

        column = self._column
        cells = zip(column.tolist(), column.isna().tolist(), strict=True)
        texts = [None if absent else self._object_text(cell) for cell, absent in cells]
        try:
            return pa.array(texts, pa.string())
        except UnicodeEncodeError as error:
            raise InvalidInput(f"{self._where} holds text that is not Unicode") from error

    def _object_text(self, cell: Any) -> str:
        if isinstance(cell, str):
            return cell
        if isinstance(cell, bytes):
            try:
                return cell.decode()
            except UnicodeDecodeError as error:
                raise InvalidInput(f"{self._where} holds bytes that are not UTF-8") from error
        if isinstance(cell, bool | np.bool_ | int | np.integer):
            return str(cell)
        if isinstance(cell, float | np.floating):
            return _float_text(cell)
        if isinstance(cell, Decimal):
            return f"{cell:f}"
        if isinstance(cell, date | datetime | time):
            return cell.isoformat()
        if isinstance(cell, np.datetime64):
            return str(cell)
        raise InvalidInput(
            f"{self._where} holds {type(cell).__name__} objects, which have no text to compare"
        )

    @property
    def _type(self) -> str:
        return str(self.arrow.type)

    @cached_property
    def _simple(self) -> pa.Array:
        """The values in one piece and in one of few types, each without a loss."""
        with needs("train"):
            import pyarrow as pa

        chunks = self.arrow.chunks or [pa.array([], self.arrow.type)]
        try:
            return pa.concat_arrays([_simplified(chunk) for chunk in chunks])
        except pa.ArrowNotImplementedError as error:
            raise InvalidInput(f"{self._where} holds {self._type}, which is not read") from error

    def _texts(self) -> tuple[NDArray[np.int64], list[str | None]]:
        """Codes [n], -1 where missing, into texts; None for bytes that are not UTF-8."""
        with needs("train"):
            import pyarrow as pa

        stored, types = self._simple, pa.types
        kind = stored.type
        if types.is_floating(kind):
            values, inverse = np.unique(stored.to_numpy(zero_copy_only=False), return_inverse=True)
            missing = np.isnan(values)
            codes = np.where(missing[inverse], -1, inverse)
            return codes, [_float_text(value) for value in values]
        if types.is_time(kind):
            stored = stored.cast(pa.string())
        elif not (
            types.is_boolean(kind)
            or types.is_integer(kind)
            or types.is_date(kind)
            or types.is_timestamp(kind)
            or types.is_large_string(kind)
            or types.is_large_binary(kind)
        ):
            raise InvalidInput(f"{self._where} holds {self._type}, which has no text to compare")
        encoded = stored.dictionary_encode()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return codes, _texts_of(encoded.dictionary)


def _simplified(values: pa.Array) -> pa.Array:
    with needs("train"):
        import pyarrow as pa

    kind, types = values.type, pa.types
    if types.is_dictionary(kind):
        return _simplified(values.dictionary).take(values.indices)
    if types.is_run_end_encoded(kind):
        return _simplified(pa.compute.run_end_decode(values))
    if types.is_null(kind) or types.is_string(kind) or types.is_string_view(kind):
        return values.cast(pa.large_string())
    if types.is_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        return values.cast(pa.large_binary())
    if types.is_decimal(kind):
        return values.cast(pa.string()).cast(pa.large_string())
    return values


def _texts_of(values: pa.Array) -> list[str | None]:
    """A text for each value, in any spelling that ``canonical`` knows."""
    with needs("train"):
        import pyarrow as pa

    kind, types = values.type, pa.types
    if types.is_date(kind) or types.is_timestamp(kind):
        zone = "Z" if types.is_timestamp(kind) and kind.tz is not None else ""
        moments = values.to_numpy(zero_copy_only=False)
        return [text + zone for text in np.datetime_as_string(moments).tolist()]
    if types.is_large_string(kind) or types.is_large_binary(kind):
        # Nothing has checked that a file's text is UTF-8.
        return [_decoded(value) for value in values.cast(pa.large_binary()).to_pylist()]
    return [str(value) for value in values.to_pylist()]


def _decoded(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _float_text(value: Any) -> str:
    """The fewest digits that read back as the same number in its own width, without exponent."""
    return str(np.format_float_positional(value, trim="-"))


def _by_value(values: NDArray[Any], of: Callable[[Any], float]) -> NDArray[np.float64]:
    distinct, inverse = np.unique(values, return_inverse=True)
    return np.array([of(value) for value in distinct], dtype=np.float64)[inverse]


def _numbers_of_text(stored: pa.Array) -> Numbers:
    with needs("train"):
        import pyarrow as pa
        from pyarrow import compute

    if pa.types.is_large_binary(stored.type):
        starts = range(0, max(len(stored), 1), _CELLS_AT_ONCE)
        parts = [_one_by_one(stored.slice(at, _CELLS_AT_ONCE).to_pylist()) for at in starts]
    else:
        missing = compute.is_in(stored, value_set=pa.array(sorted(MISSING_TEXTS), stored.type))
        texts = compute.if_else(missing, "nan", stored).fill_null("nan")
        starts = range(0, max(len(texts), 1), _CELLS_AT_ONCE)
        parts = [_numbers_of_part(texts.slice(at, _CELLS_AT_ONCE)) for at in starts]
    return Numbers(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.unreadable for part in parts]),
    )


def _numbers_of_part(texts: pa.Array) -> Numbers:
    """As ``_one_by_one``, at once where all cells are plain numbers."""
    with needs("train"):
        import pyarrow as pa
        from pyarrow import compute

    if not compute.any(compute.match_substring(texts, "_")).as_py():
        with suppress(ValueError):
            cells = texts.to_pylist()
            values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
            return Numbers(values, np.zeros(len(cells), dtype=np.bool_))
    # As bytes, because nothing has checked that a file's text is UTF-8.
    return _one_by_one(texts.cast(pa.large_binary()).to_pylist())


def _one_by_one(cells: Sequence[bytes | None]) -> Numbers:
    values = np.full(len(cells), np.nan)
    unreadable = np.zeros(len(cells), dtype=np.bool_)
    for place, cell in enumerate(cells):
        if cell is None:
            continue
        try:
            values[place] = number_of(cell.decode())
        except ValueError:
            unreadable[place] = True
    return Numbers(values, unreadable)
