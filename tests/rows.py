"""The portal's rows of what sites sent, for tests."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.attempts.models import AttemptMessage


def sent(name: str) -> QuerySet[AttemptMessage]:
    """The messages of that name, of all attempts."""
    return AttemptMessage.objects.filter(name=name)
