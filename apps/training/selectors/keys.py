"""Which jobs still need a key."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.training.models import Job


def jobs_under(digest: str) -> QuerySet[Job]:
    """The jobs that name the key and have not ended: waiting ones count, for they may run yet."""
    return Job.objects.filter(spec__body__key_epoch=digest).exclude(state__in=Job.ENDED)
