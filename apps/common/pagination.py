"""Keyset pagination: stable under inserts, and as fast on the last page as on the first."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from django.db.models import DateTimeField, Model, Q, QuerySet

from federated.errors import InvalidInput

M = TypeVar("M", bound=Model)
LIMIT_DEFAULT = 50
LIMIT_MAX = 200


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    items: list[M]
    next_cursor: str | None


def keyset_page(
    queryset: QuerySet[M],
    *,
    cursor: str | None = None,
    limit: int | str | None = None,
    field: str = "created_at",
    descending: bool = True,
) -> Page[M]:
    """One page of ``queryset``, ordered by ``field`` and then ``id``.

    ``field`` is a datetime or integer column without NULLs. Raises InvalidInput for a cursor that
    this function did not make, or a limit outside 1 to 200.
    """
    size = _limit(limit)
    if cursor:
        value, pk = _decode(cursor)
        ordered = queryset.model._meta.get_field(field)
        if isinstance(value, datetime) != isinstance(ordered, DateTimeField):
            raise _foreign()
        side = "lt" if descending else "gt"
        queryset = queryset.filter(
            Q(**{f"{field}__{side}": value}) | Q(**{field: value, f"id__{side}": pk})
        )
    sign = "-" if descending else ""
    rows = list(queryset.order_by(f"{sign}{field}", f"{sign}id")[: size + 1])
    items = rows[:size]
    more = len(rows) > size
    return Page(items, _encode(getattr(items[-1], field), items[-1].pk) if more else None)


def _limit(limit: int | str | None) -> int:
    try:
        size = LIMIT_DEFAULT if limit in (None, "") else int(limit)
    except ValueError:
        size = 0
    if not 1 <= size <= LIMIT_MAX:
        raise InvalidInput(f"limit must be a whole number from 1 to {LIMIT_MAX}.", field="limit")
    return size


def _encode(value: Any, pk: Any) -> str:
    plain = value.isoformat() if isinstance(value, datetime) else value
    return base64.urlsafe_b64encode(json.dumps([plain, str(pk)]).encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[Any, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value, pk = json.loads(base64.urlsafe_b64decode(padded))
        uuid.UUID(pk)
        if isinstance(value, str):
            # PostgreSQL refuses some of the offsets and years that Python takes.
            value = datetime.fromisoformat(value).astimezone(UTC)
        elif isinstance(value, bool) or not isinstance(value, int):
            raise ValueError("neither a time nor a number")
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise _foreign() from error
    return value, pk


def _foreign() -> InvalidInput:
    return InvalidInput(
        "cursor is not one that this page gave out; leave it out to start again.", field="cursor"
    )
