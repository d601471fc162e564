"""django-tenants' backend, which switches the role together with the search path.

The login role of the application inherits nothing: in an organization's schema it works as that
organization's role, elsewhere as the application's. A switch that fails raises before the
statement that needed it, so nothing ever runs as the role before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import utils
from django_tenants.postgresql_backend import base
from django_tenants.utils import get_limit_set_calls, get_public_schema_name, quote_schema_name

from portal.config import ROLES


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # The owner keeps its own role: it migrates every schema.
        self.enforces_roles = settings.FSC_DB_ROLE != "owner"
        super().__init__(*args, **kwargs)

    @contextmanager
    def as_login_role(self) -> Iterator[None]:
        """Work as the role that logged in; of use to the owner only."""
        before = self.enforces_roles
        self.enforces_roles = False
        self.search_path_set_schemas = None
        try:
            yield
        finally:
            self.enforces_roles = before
            self.search_path_set_schemas = None

    def _role(self) -> str | None:
        if not self.enforces_roles:
            return None
        return ROLES["app"] if self.schema_name == get_public_schema_name() else self.schema_name

    def _switch_statement(self) -> str:
        path = ", ".join(quote_schema_name(schema) for schema in self._get_cursor_search_paths())
        role = self._role()
        change = "RESET ROLE" if role is None else f"SET ROLE {quote_schema_name(role)}"
        return f"{change}; SET search_path = {path}"

    def _handle_search_path(self, cursor: Any = None) -> None:
        if self._setting_search_path or (get_limit_set_calls() and self.search_path_set_schemas):
            return
        statement = self._switch_statement()
        self._setting_search_path = True
        switching = self.connection.cursor() if cursor is None else cursor
        try:
            switching.execute(statement)
        except (utils.Error, psycopg.Error) as error:
            self.search_path_set_schemas = None
            # In a transaction that has failed, every statement but a rollback fails by itself.
            if not _transaction_failed(error):
                raise
        else:
            self.search_path_set_schemas = self._get_cursor_search_paths()
        finally:
            self._setting_search_path = False
            if cursor is None:
                switching.close()


def _transaction_failed(error: Exception) -> bool:
    failed = psycopg.errors.InFailedSqlTransaction
    return isinstance(error, failed) or isinstance(error.__cause__, failed)
