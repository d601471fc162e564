"""Runs work as the coordinator, whatever organization's request caused it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django_tenants.utils import get_public_schema_name, schema_context


@contextmanager
def as_coordinator() -> Iterator[None]:
    """Work in the public schema, as the application's role, and return to the caller's.

    What an organization may see is decided before, under its own role.
    """
    with schema_context(get_public_schema_name()):
        yield
