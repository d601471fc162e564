"""Every model says where its table lives, and a foreign key never crosses schemas."""

from __future__ import annotations

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

from apps.common.models import Model
from apps.common.scopes import RowLevel, Scope
from portal.tenancy.checks import check_role, check_scopes, model_problems
from portal.tenancy.grants import row_level_statements, tenant_statements
from portal.tenancy.router import ScopeRouter


def ids(model: type[models.Model]) -> list[str]:
    return [message.id for message in model_problems(model)]


def test_all_models_of_the_project_are_in_order():
    assert check_scopes() == []


@isolate_apps("apps.common")
def test_a_model_without_scope_is_refused():
    class Loose(models.Model):  # noqa: DJ008
        class Meta:
            app_label = "common"

    class Placed(Model):
        scope = Scope.TENANT

        class Meta:
            app_label = "common"

    assert ids(Loose) == ["tenancy.E001"]
    assert ids(Placed) == []


@isolate_apps("apps.common")
def test_a_foreign_key_across_schemas_is_refused():
    class Shared(Model):
        scope = Scope.SHARED

        class Meta:
            app_label = "common"

    class Private(Model):
        scope = Scope.TENANT
        shared = models.ForeignKey(Shared, models.CASCADE)

        class Meta:
            app_label = "common"

    assert ids(Private) == ["tenancy.E002"]


@isolate_apps("apps.common")
def test_row_rules_belong_on_shared_tables():
    class Private(Model):
        class RowLevel(RowLevel):
            predicate = "true"

        scope = Scope.TENANT

        class Meta:
            app_label = "common"

    class Wrong(Model):
        class RowLevel:
            predicate = "true"

        scope = Scope.SHARED

        class Meta:
            app_label = "common"

    assert ids(Private) == ["tenancy.E003"]
    assert ids(Wrong) == ["tenancy.E004"]


def test_an_unknown_database_role_is_refused(settings):
    assert check_role() == []
    settings.FSC_DB_ROLE = "postgres"
    assert [message.id for message in check_role()] == ["tenancy.C001"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("label", "model", "public", "tenant"),
    [
        ("organizations", "site", True, False),
        ("provenance", "event", True, True),
        ("sessions", "session", True, False),
    ],
)
def test_the_router_places_models(label, model, public, tenant):
    router = ScopeRouter()
    assert router.allow_migrate("default", label, model) is public
    connection.set_schema("t_northwind")
    assert router.allow_migrate("default", label, model) is tenant


@isolate_apps("apps.common")
def test_row_rules_become_policies():
    class Post(Model):
        class RowLevel(RowLevel):
            predicate = "author = current_user"
            write = "author = 'me'"

        scope = Scope.SHARED
        append_only = True

        class Meta:
            app_label = "common"

    class Closed(Model):
        scope = Scope.SHARED

        class Meta:
            app_label = "common"

    statements = list(row_level_statements(Post))
    assert any("FOR SELECT TO fsc_tenant USING (author = current_user)" in s for s in statements)
    assert any("FOR INSERT TO fsc_tenant WITH CHECK (author = 'me')" in s for s in statements)
    assert not any("UPDATE ON" in s or "DELETE ON" in s for s in statements)
    assert not any("TO fsc_tenant" in s for s in row_level_statements(Closed))


def test_names_are_quoted():
    assert any('"t_x""y"' in statement for statement in tenant_statements('t_x"y', set()))
