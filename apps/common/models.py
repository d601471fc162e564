"""The abstract base of the project's models."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from apps.common.scopes import RowLevel, Scope


class Model(models.Model):
    """A row with a UUID key and the time of its creation.

    Subclasses declare ``scope``. ``append_only`` withholds UPDATE and DELETE from every
    application role; ``RowLevel`` (an inner class) opens a shared table to organization roles.
    """

    scope: ClassVar[Scope]
    append_only: ClassVar[bool] = False
    RowLevel: ClassVar[type[RowLevel] | None] = None

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True
