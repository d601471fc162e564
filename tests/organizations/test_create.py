"""An organization is a row, a schema, a role, its tables and its grants, all or resumed."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction
from django_tenants.utils import tenant_context

from apps.common.actor import Actor
from apps.organizations import services
from apps.organizations.models import Organization
from apps.organizations.services import organization_create
from apps.organizations.tokens import Token
from apps.provenance.models import Event
from apps.provenance.tags import Tag
from federated.errors import Conflict, InvalidInput
from tests.conftest import owner_role

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("tests")


def create(slug: str = "eastbay", name: str = "East Bay") -> Organization:
    with owner_role():
        return organization_create(slug=slug, name=name, actor=SYSTEM)


def work_as(organization: Organization) -> tuple[str, int]:
    with owner_role(), connection.cursor() as cursor:
        cursor.execute(f'GRANT "{organization.schema_name}" TO CURRENT_USER WITH SET TRUE')
    with tenant_context(organization), connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()[0], Event.objects.filter(tag=Tag.ORGANIZATION_CREATED).count()


def test_create():
    organization = create()
    assert (organization.state, organization.schema_name) == ("active", "t_eastbay")
    assert work_as(organization) == ("t_eastbay", 1)
    assert Event.objects.filter(subject_id="eastbay", tag=Tag.ORGANIZATION_CREATED).count() == 1


def test_what_was_cut_short_is_finished(monkeypatch):
    def cut(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(services, "call_command", cut)
        with pytest.raises(KeyboardInterrupt):
            create()
    assert Organization.objects.get(slug="eastbay").state == "preparing"
    assert work_as(create()) == ("t_eastbay", 1)


def test_twice_is_a_conflict():
    with pytest.raises(Conflict, match="northwind exists already"):
        create("northwind")


@pytest.mark.parametrize(
    "slug", ["", "a", "Upper", "1st", "a-b", "a b", "a" * 42, 'x"; DROP', "été"]
)
def test_bad_slugs(slug):
    with pytest.raises(InvalidInput, match="slug"):
        create(slug)
    assert Organization.objects.count() == 4


def test_a_name_is_needed():
    with pytest.raises(InvalidInput, match="name"):
        create(name="")


def test_the_application_may_not_make_one():
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        organization_create(slug="eastbay", name="East Bay", actor=SYSTEM)
    assert not Organization.objects.filter(slug="eastbay").exists()


def test_commands(capsys):
    with owner_role():
        call_command("organization_create", "eastbay", "--name", "East Bay")
        call_command("join_token", "eastbay")
    *_, token = capsys.readouterr().out.split()
    assert Token.parse(token).slug == "eastbay"
    with pytest.raises(CommandError, match="exists already"):
        call_command("organization_create", "northwind")
    with pytest.raises(CommandError, match="nowhere: No such organization"):
        call_command("join_token", "nowhere")
