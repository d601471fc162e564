"""System checks: a model that declares no scope stops the start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Critical, Error, Tags, register
from django.db.models import Model

from apps.common.scopes import RowLevel, Scope
from portal.config import ROLES
from portal.tenancy.router import model_scope


@register(Tags.models)
def check_scopes(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    return [
        message
        for model in apps.get_models(include_auto_created=True)
        for message in model_problems(model)
    ]


def model_problems(model: type[Model]) -> Iterator[CheckMessage]:
    scope = model_scope(model)
    label = model._meta.label
    if scope is None:
        yield Error(
            f"{label} declares no scope.",
            hint="Set scope = Scope.SHARED, TENANT or BOTH (or FOREIGN_SCOPES for a package).",
            obj=model,
            id="tenancy.E001",
        )
        return
    row_level = getattr(model, "RowLevel", None)
    if row_level is not None and scope is not Scope.SHARED:
        yield Error(
            f"{label} has a RowLevel, which only a shared table can have.",
            obj=model,
            id="tenancy.E003",
        )
    if row_level is not None and not issubclass(row_level, RowLevel):
        yield Error(
            f"{label}.RowLevel does not extend apps.common.scopes.RowLevel.",
            obj=model,
            id="tenancy.E004",
        )
    for field in model._meta.get_fields():
        if not (field.concrete and field.remote_field and isinstance(field.related_model, type)):
            continue
        if model_scope(field.related_model) != scope:
            yield Error(
                f"{label}.{field.name} is a foreign key across schemas.",
                hint="Keep the other row's UUID in a plain column.",
                obj=model,
                id="tenancy.E002",
            )


@register(Tags.database)
def check_role(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    if settings.FSC_DB_ROLE in ROLES:
        return []
    return [
        Critical(
            f"FSC_DB_ROLE is {settings.FSC_DB_ROLE!r}; it must be one of {', '.join(ROLES)}.",
            id="tenancy.C001",
        )
    ]
