"""Declares a model's schema, and which rows an organization's role may read or write.

Every model of the project declares ``scope``; the router makes its table there and nowhere else.
A table in the public schema is closed to organization roles unless its model declares a
``RowLevel``; the grants command turns the declaration into PostgreSQL row-level policies.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Scope(StrEnum):
    SHARED = "shared"  # the public schema only
    TENANT = "tenant"  # every organization's schema, not the public one
    BOTH = "both"  # a table of its own in each


class RowLevel:
    """Base of a shared model's inner class ``RowLevel``.

    ``predicate`` and ``write`` are SQL over the table's columns. Two functions help:
    ``fsc_organization_id()`` (uuid) and ``fsc_organization_slug()`` (text) give the organization
    whose role runs the statement, and NULL for any other role. A predicate that reads another
    table sees that table through its own policies; to avoid a recursion, put such a look-up into
    a SECURITY DEFINER function that takes the organization as an argument and list it in
    ``functions`` (each a complete CREATE OR REPLACE FUNCTION statement).
    """

    #: Rows that an organization's role sees.
    predicate: ClassVar[str] = "false"
    #: Rows that it may insert, and update to; None keeps the table read-only for it.
    write: ClassVar[str | None] = None
    #: Whether rows under ``write`` may also be deleted.
    delete: ClassVar[bool] = False
    #: SQL functions that the predicates use.
    functions: ClassVar[tuple[str, ...]] = ()
