"""The portal's schedules in the database, where beat reads them and an operator changes them."""

from __future__ import annotations

from django.db import transaction
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from apps.common.actor import Actor
from apps.common.selectors import get_for
from apps.provenance.services import consortium_event_record
from apps.provenance.tags import Tag
from apps.schedules.selectors import DESCRIPTION, schedules, seconds_between
from apps.schedules.ticks import TICKS, Tick
from federated.errors import InvalidInput

SECONDS_MOST = 86_400


def schedules_seed(*, actor: Actor) -> int:
    """Create missing schedules of the portal, delete obsolete ones, and return how many changed.

    Idempotent. An operator's interval and pause stay.
    """
    changed = 0
    with transaction.atomic():
        for tick in TICKS:
            changed += _ensure(tick, _every(tick.seconds))
        gone = schedules().exclude(name__in=[tick.name for tick in TICKS])
        changed += gone.delete()[0]
        if changed:
            consortium_event_record(
                tag=Tag.SCHEDULES_SEEDED,
                actor=actor,
                subject=("schedule", "portal"),
                data={"changed": changed, "names": [tick.name for tick in TICKS]},
            )
    return changed


def _ensure(tick: Tick, interval: IntervalSchedule) -> bool:
    fixed = {"task": tick.task, "queue": tick.queue, "description": DESCRIPTION}
    found = PeriodicTask.objects.filter(name=tick.name).first()
    if found is None:
        PeriodicTask.objects.create(
            name=tick.name, interval=interval, expire_seconds=tick.expires, **fixed
        )
        return True
    if all(getattr(found, field) == value for field, value in fixed.items()):
        return False
    for field, value in fixed.items():
        setattr(found, field, value)
    found.save()
    return True


def _every(seconds: int) -> IntervalSchedule:
    # Two rows of one interval do no harm, and the table has no constraint that forbids them.
    every = {"every": seconds, "period": IntervalSchedule.SECONDS}
    return IntervalSchedule.objects.filter(**every).first() or IntervalSchedule.objects.create(
        **every
    )


def schedule_change(*, name: str, seconds: int, enabled: bool, actor: Actor) -> PeriodicTask:
    """An operator's interval and pause of one schedule; beat follows within seconds.

    Raises NotFound, or InvalidInput for an interval that is none.
    """
    if not 1 <= seconds <= SECONDS_MOST:
        raise InvalidInput(
            f"seconds: {seconds}; a whole number from 1 to {SECONDS_MOST} is allowed",
            field="seconds",
        )
    with transaction.atomic():
        found = get_for(schedules().select_for_update(of=("self",)), name=name)
        if (seconds_between(found), found.enabled) == (seconds, enabled):
            return found
        found.interval, found.enabled = _every(seconds), enabled
        found.expire_seconds = max(5, 3 * seconds)
        found.save()
        consortium_event_record(
            tag=Tag.SCHEDULE_CHANGED,
            actor=actor,
            subject=("schedule", name),
            data={"seconds": seconds, "enabled": enabled},
        )
        return found
