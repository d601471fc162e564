"""Look-ups shared by all apps."""

from __future__ import annotations

from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import Model, QuerySet

from federated.errors import NotFound

M = TypeVar("M", bound=Model)


def get_for(queryset: QuerySet[M], **lookup: Any) -> M:
    """The one row of ``queryset`` (already narrowed to what the caller may see).

    Raises NotFound, in the same words, for a row that is absent, another organization's, or named
    by a key that is not one: the answer tells a stranger nothing.
    """
    try:
        return queryset.get(**lookup)
    except (ObjectDoesNotExist, ValidationError, ValueError) as error:
        raise NotFound(f"No such {queryset.model._meta.verbose_name}.") from error
