"""Reads of the portal's schedules."""

from __future__ import annotations

from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask

DESCRIPTION = "of the portal"


def schedules() -> QuerySet[PeriodicTask]:
    """The portal's own entries; what an operator adds in the admin is not among them."""
    return PeriodicTask.objects.filter(description=DESCRIPTION).select_related("interval")


def seconds_between(schedule: PeriodicTask) -> int:
    """The interval of one of the portal's own entries, all of which have one."""
    assert schedule.interval is not None
    return schedule.interval.every
