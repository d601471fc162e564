"""Grants each database role its rights; the owner runs it after every migration. Idempotent.

Roles: the owner has every table; the application's login role (NOINHERIT) has the rows of the
shared tables and may become an organization's role; ``t_<slug>`` has its own schema, and through
the group ``fsc_tenant`` those rows of shared tables that a model's RowLevel opens. A right
that is not granted here does not exist: a new table is closed until its model is known here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.apps import apps
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Model
from django_tenants.utils import get_public_schema_name, quote_schema_name, schema_exists

from apps.common.scopes import RowLevel, Scope
from portal.config import ROLES
from portal.tenancy.router import model_scope

APP = ROLES["app"]
GROUP = "fsc_tenant"
MIGRATIONS = "django_migrations"

FUNCTIONS = (
    """
    CREATE OR REPLACE FUNCTION fsc_organization_id() RETURNS uuid LANGUAGE sql STABLE AS
    $$ SELECT id FROM public.organizations_organization WHERE schema_name = current_user::text $$
    """,
    """
    CREATE OR REPLACE FUNCTION fsc_organization_slug() RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT slug FROM public.organizations_organization WHERE schema_name = current_user::text $$
    """,
)


def grants_apply(*, public: bool, schemas: Iterable[str]) -> None:
    """Make the roles and give them what the models declare.

    ``public`` says whether the shared tables are to be done, ``schemas`` names the organizations'.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        # Two concurrent GRANTs on one table fail ("tuple concurrently updated").
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('fsc_grants'))")
        for role in (APP, GROUP):
            _role_ensure(cursor, role)
        if public:
            for statement in public_statements(_tables(cursor, get_public_schema_name())):
                cursor.execute(statement)
        for schema in schemas:
            if schema_exists(schema):
                _role_ensure(cursor, schema)
                for statement in tenant_statements(schema, _tables(cursor, schema)):
                    cursor.execute(statement)


def _role_ensure(cursor: CursorWrapper, role: str) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    if cursor.fetchone() is None:
        cursor.execute(f"CREATE ROLE {quote_schema_name(role)} NOLOGIN")


def _tables(cursor: CursorWrapper, schema: str) -> set[str]:
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [schema])
    return {name for (name,) in cursor.fetchall()}


def _models(tables: set[str], *scopes: Scope) -> Iterator[type[Model]]:
    """The models of these scopes whose table is already there."""
    for model in apps.get_models(include_auto_created=True):
        meta = model._meta
        exists = meta.managed and not meta.proxy and meta.db_table in tables
        if exists and model_scope(model) in scopes:
            yield model


def _privileges(model: type[Model]) -> str:
    append_only = getattr(model, "append_only", False)
    return "SELECT, INSERT" if append_only else "SELECT, INSERT, UPDATE, DELETE"


def public_statements(tables: set[str]) -> Iterator[str]:
    """SQL for the shared tables."""
    yield from FUNCTIONS
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {APP}, {GROUP}, PUBLIC"
    yield f"GRANT USAGE ON SCHEMA public TO {APP}, {GROUP}"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP}, {GROUP}"
    yield f"GRANT SELECT ON public.{MIGRATIONS} TO {APP}, {GROUP}"
    models = list(_models(tables, Scope.SHARED, Scope.BOTH))
    for model in models:
        yield f"GRANT {_privileges(model)} ON {_public(model)} TO {APP}"
        rules: type[RowLevel] | None = getattr(model, "RowLevel", None)
        yield from rules.functions if rules else ()
    # Policies after all functions: a predicate may use another model's.
    for model in models:
        yield from row_level_statements(model)


def row_level_statements(model: type[Model]) -> Iterator[str]:
    """Policies of one shared table: everything to the application, to organizations their rows."""
    table = _public(model)
    rules: type[RowLevel] | None = getattr(model, "RowLevel", None)
    for name in ("app", "read", "insert", "update", "delete"):
        yield f"DROP POLICY IF EXISTS fsc_{name} ON {table}"
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield f"CREATE POLICY fsc_app ON {table} TO {APP} USING (true) WITH CHECK (true)"
    if rules is None:
        return
    yield f"GRANT SELECT ON {table} TO {GROUP}"
    yield f"CREATE POLICY fsc_read ON {table} FOR SELECT TO {GROUP} USING ({rules.predicate})"
    if rules.write is None:
        return
    yield f"GRANT INSERT ON {table} TO {GROUP}"
    yield f"CREATE POLICY fsc_insert ON {table} FOR INSERT TO {GROUP} WITH CHECK ({rules.write})"
    if getattr(model, "append_only", False):
        return
    yield f"GRANT UPDATE ON {table} TO {GROUP}"
    yield (
        f"CREATE POLICY fsc_update ON {table} FOR UPDATE TO {GROUP} "
        f"USING ({rules.write}) WITH CHECK ({rules.write})"
    )
    if rules.delete:
        yield f"GRANT DELETE ON {table} TO {GROUP}"
        yield f"CREATE POLICY fsc_delete ON {table} FOR DELETE TO {GROUP} USING ({rules.write})"


def tenant_statements(schema: str, tables: set[str]) -> Iterator[str]:
    """SQL for one organization's role, which has the name of its schema."""
    role = quoted = quote_schema_name(schema)
    yield f"GRANT {GROUP} TO {role} WITH INHERIT TRUE"
    yield f"GRANT {role} TO {APP} WITH INHERIT FALSE, SET TRUE"
    yield f"REVOKE ALL ON SCHEMA {quoted} FROM PUBLIC"
    yield f"GRANT USAGE ON SCHEMA {quoted} TO {role}"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA {quoted} FROM {role}, PUBLIC"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {quoted} TO {role}"
    if MIGRATIONS in tables:
        yield f"GRANT SELECT ON {quoted}.{MIGRATIONS} TO {role}"
    for model in _models(tables, Scope.TENANT, Scope.BOTH):
        table = f"{quoted}.{quote_schema_name(model._meta.db_table)}"
        yield f"GRANT {_privileges(model)} ON {table} TO {role}"


def _public(model: type[Model]) -> str:
    return f"public.{quote_schema_name(model._meta.db_table)}"
