"""Schedules lie in the database: seeded once, an operator's changes stay, beat reads them."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler

from apps.common.actor import Actor
from apps.provenance.models import Event
from apps.provenance.tags import Tag
from apps.schedules.selectors import schedules
from apps.schedules.services import schedule_change, schedules_seed
from apps.schedules.ticks import TICKS
from federated.errors import InvalidInput, NotFound
from portal.celery import app

pytestmark = pytest.mark.django_db
ACTOR = Actor.system("tests")


def test_seeding_twice_changes_nothing_the_second_time():
    assert schedules_seed(actor=ACTOR) == len(TICKS)
    assert schedules_seed(actor=ACTOR) == 0
    found = {row.name: (row.task, row.interval.every, row.queue) for row in schedules()}
    assert found == {tick.name: (tick.task, tick.seconds, tick.queue) for tick in TICKS}
    assert Event.objects.filter(tag=Tag.SCHEDULES_SEEDED).count() == 1


def test_an_operators_interval_and_pause_outlive_a_start():
    schedules_seed(actor=ACTOR)
    schedule_change(name="anchor", seconds=60, enabled=False, actor=ACTOR)
    assert schedules_seed(actor=ACTOR) == 0
    row = schedules().get(name="anchor")
    assert (row.interval.every, row.enabled, row.expire_seconds) == (60, False, 180)
    assert Event.objects.filter(tag=Tag.SCHEDULE_CHANGED, subject_id="anchor").count() == 1


def test_what_the_portal_no_longer_has_goes_and_what_an_operator_added_stays():
    schedules_seed(actor=ACTOR)
    every = IntervalSchedule.objects.create(every=9, period="seconds")
    PeriodicTask.objects.create(
        name="old", task="gone", interval=every, description="of the portal"
    )
    PeriodicTask.objects.create(name="theirs", task="x", interval=every)
    schedules_seed(actor=ACTOR)
    names = set(PeriodicTask.objects.values_list("name", flat=True))
    assert "old" not in names
    assert "theirs" in names


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
def test_an_interval_that_is_none_is_refused(seconds: int):
    schedules_seed(actor=ACTOR)
    with pytest.raises(InvalidInput, match="seconds"):
        schedule_change(name="anchor", seconds=seconds, enabled=True, actor=ACTOR)
    with pytest.raises(NotFound):
        schedule_change(name="nothing", seconds=5, enabled=True, actor=ACTOR)


def test_beat_reads_them_and_knows_what_is_due():
    schedules_seed(actor=ACTOR)
    schedule_change(name="anchor", seconds=3, enabled=False, actor=ACTOR)
    scheduler = DatabaseScheduler(app=app, lazy=True)
    # Not through ``scheduler.schedule``, which would close the test's connection first.
    entries = scheduler.all_as_schedule()
    assert set(entries) == {tick.name for tick in TICKS} - {"anchor"}
    assert entries["training"].options["queue"] == "training"
    assert entries["training"].options["expires"] == 5
    # Twice as old as its period: due once, however much was missed.
    PeriodicTask.objects.filter(name="training").update(last_run_at="2026-01-01T00:00:00Z")
    entries["training"].model.refresh_from_db()
    entry = scheduler.Entry(entries["training"].model, app=app)
    assert entry.is_due().is_due
    assert not next(entry).is_due().is_due


def test_an_organizations_role_sees_no_schedule(northwind: Any):
    schedules_seed(actor=ACTOR)
    from django.db import ProgrammingError, transaction
    from django_tenants.utils import schema_context

    with schema_context("t_northwind"), pytest.raises(ProgrammingError), transaction.atomic():
        schedules().count()
    assert connection.schema_name == "public"
