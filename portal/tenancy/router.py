"""Routes each model's table to its schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.apps import apps
from django.conf import settings
from django.db import connections
from django.db.models import Model
from django_tenants.utils import get_public_schema_name

from apps.common.scopes import Scope

if TYPE_CHECKING:
    from django_tenants.postgresql_backend.base import DatabaseWrapper


def model_scope(model: type[Model]) -> Scope | None:
    """The scope that a model, or its package, declares. A many-to-many table follows its owner."""
    owner = model._meta.auto_created
    if isinstance(owner, type):
        return model_scope(owner)
    declared = getattr(model, "scope", None)
    if isinstance(declared, Scope):
        return declared
    foreign: Scope | None = settings.FOREIGN_SCOPES.get(model._meta.app_label)
    return foreign


class ScopeRouter:
    """Stands before django-tenants' router, which knows apps but not models.

    An app in both lists would get all its tables in every schema, and an organization would see
    its own empty copy of a shared table. Operations without a model (RunSQL, RunPython) pass
    ``hints={"model_name": ...}`` to follow one.
    """

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        if model_name is None:
            return None
        try:
            model = apps.get_model(app_label, model_name)
        except LookupError:
            return None
        connection = cast("DatabaseWrapper", connections[db])
        public = bool(connection.schema_name == get_public_schema_name())
        match model_scope(model):
            case Scope.BOTH:
                return True
            case Scope.SHARED:
                return public
            case Scope.TENANT:
                return not public
        return None
