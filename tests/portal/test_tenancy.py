"""An organization's work can touch its own rows only: the database refuses the rest."""

from __future__ import annotations

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import DatabaseError, ProgrammingError
from django_tenants.utils import schema_context, tenant_context

from apps.accounts.models import Membership, User
from apps.organizations.models import JoinToken, Organization, Site
from apps.provenance.models import Event
from portal.config import Config
from portal.tenancy.pool import connection_reset

pytestmark = pytest.mark.django_db
PUBLIC = "public"


def run(statement: str) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def refused(statement: str) -> None:
    denied = pytest.raises(ProgrammingError, match="permission denied|row-level security")
    with denied, transaction.atomic():
        run(statement)


def test_the_role_follows_the_schema(northwind, lakeside):
    assert run("SELECT current_user") == [("fsc_app",)]
    with tenant_context(northwind):
        assert run("SELECT current_user, current_schema()") == [("t_northwind", "t_northwind")]
        with tenant_context(lakeside):
            assert run("SELECT current_user") == [("t_lakeside",)]
        assert run("SELECT current_user") == [("t_northwind",)]
    assert run("SELECT current_user, current_schema()") == [("fsc_app", "public")]


def test_another_schema_is_refused(northwind):
    with tenant_context(northwind):
        assert Event.objects.exists()
        refused('SELECT * FROM "t_lakeside".provenance_event')
        refused('INSERT INTO "t_lakeside".provenance_node SELECT * FROM provenance_node')


def test_the_application_role_alone_sees_no_schema():
    refused('SELECT * FROM "t_lakeside".provenance_event')


def test_the_consortiums_log_is_closed_to_organizations(northwind):
    with tenant_context(northwind):
        refused("SELECT * FROM public.provenance_event")


@pytest.mark.parametrize("schema", [PUBLIC, "t_northwind"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE provenance_event SET tag = 'x'",
        "DELETE FROM provenance_event",
        "TRUNCATE provenance_event CASCADE",
    ],
)
def test_events_cannot_be_changed(schema, statement):
    with schema_context(schema):
        refused(statement)


def test_tables_without_a_rule_are_closed_to_organizations(northwind):
    with tenant_context(northwind):
        refused("SELECT * FROM django_session")
        refused("SELECT * FROM django_admin_log")


def test_an_organization_sees_its_own_people_only(northwind):
    assert Membership.objects.count() == 12
    with tenant_context(northwind):
        assert {str(m.organization) for m in Membership.objects.all()} == {"northwind"}
        assert {user.email.partition("@")[2] for user in User.objects.all()} == {
            "northwind.example"
        }


def test_an_organization_cannot_write_another_ones_rows(northwind, lakeside):
    user = User.objects.get(email="admin@northwind.example")
    token = JoinToken.objects.filter(organization=lakeside).get()
    with tenant_context(northwind):
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            Membership.objects.create(user=user, organization=lakeside, role="admin")
        assert not JoinToken.objects.filter(pk=token.pk).exists()
        assert JoinToken.objects.filter(organization=lakeside).update(site_name="x") == 0
        assert Site.objects.filter(organization=lakeside).update(name="x") == 0
        assert Site.objects.filter(organization=northwind).update(name="north") == 1
        assert Membership.objects.filter(organization=lakeside).delete() == (0, {})


def test_an_organization_cannot_change_who_is_a_member(northwind):
    with tenant_context(northwind):
        assert Organization.objects.count() == 4
        refused("UPDATE organizations_organization SET state = 'suspended'")


def test_a_switch_that_fails_runs_nothing():
    missing = pytest.raises(DatabaseError, match="role .*t_nobody.* does not exist")
    with missing, transaction.atomic(), schema_context("t_nobody"):
        run("DELETE FROM public.accounts_membership")
    assert Membership.objects.exists()


def test_a_rollback_does_not_leave_the_wrong_role(northwind):
    with pytest.raises(ZeroDivisionError), transaction.atomic(), tenant_context(northwind):
        run("SELECT 1")
        1 / 0
    assert run("SELECT current_user") == [("fsc_app",)]
    with tenant_context(northwind):
        with pytest.raises(ZeroDivisionError), transaction.atomic(), schema_context(PUBLIC):
            run("SELECT 1")
            1 / 0
        assert run("SELECT current_user") == [("t_northwind",)]


def test_the_first_query_after_a_failed_transaction_is_by_the_right_role(northwind):
    with tenant_context(northwind):
        with pytest.raises(ProgrammingError), transaction.atomic():
            run("SELECT * FROM no_such_table")
        assert run("SELECT current_user") == [("t_northwind",)]


@pytest.fixture
def login() -> psycopg.Connection:
    """A connection as the application logs in, without any of the project's code."""
    url = Config.load().database_url("app").rpartition("/")[0]
    with psycopg.connect(f"{url}/{connection.settings_dict['NAME']}", autocommit=True) as raw:
        yield raw


def test_the_login_role_owns_and_inherits_nothing(login):
    owned = "SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole"
    assert login.execute(owned).fetchone() == (0,)
    for statement in (
        "CREATE TABLE public.x (id int)",
        "CREATE SCHEMA x",
        "CREATE ROLE x",
        'SELECT * FROM "t_northwind".provenance_event',
        "ALTER TABLE public.accounts_user DISABLE ROW LEVEL SECURITY",
        "DROP POLICY fsc_read ON public.accounts_membership",
        "SET ROLE fsc_owner",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute(statement)


def test_a_pooled_connection_forgets_its_tenant(login):
    login.execute("SET ROLE t_northwind; SET search_path = t_northwind")
    login.autocommit = False
    login.execute("SELECT 1")
    connection_reset(login)
    assert login.autocommit
    row = login.execute("SELECT current_user, current_schema()").fetchone()
    assert row == ("fsc_app", "public")


def test_shared_tables_are_not_repeated_in_a_tenants_schema():
    with tenant_context(Organization.objects.get(slug="northwind")):
        tables = {
            name
            for (name,) in run("SELECT tablename FROM pg_tables WHERE schemaname = 't_northwind'")
        }
    assert "provenance_event" in tables
    assert not {"accounts_user", "organizations_organization", "django_session"} & tables
