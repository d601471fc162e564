"""A task runs in the schema it was sent from, as that organization's role, or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from queue import Queue
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from celery.signals import task_failure
from django.conf import settings
from django.db import OperationalError, connection, connections
from django_tenants.utils import schema_context

from apps.schedules.ticks import TICKS
from portal.celery import HEADER, TenantMismatch, app
from portal.queues import QUEUES
from tests.patience import patient

pytestmark = pytest.mark.django_db
QUEUE = f"test-{uuid.uuid4()}"
done: Queue[Any] = Queue()


def where() -> tuple[str, str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_schema()")
        return (connection.schema_name, *cursor.fetchone())


@app.task(name="tests.where")
def task_where() -> None:
    done.put(where())


@app.task(name="tests.fail")
def task_fail() -> None:
    with schema_context("t_summit"):
        raise ValueError("on purpose")


@app.task(name="tests.retry", bind=True, max_retries=1)
def task_retry(self: Any) -> None:
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    done.put(where())


@app.task(name="tests.chain")
def task_chain() -> None:
    task_where.apply_async(queue=QUEUE)


@app.task(name="tests.away", bind=True)
def task_away(self: Any) -> None:
    if self.request.retries == 0:
        raise OperationalError("server closed the connection unexpectedly")
    done.put(where())


@pytest.fixture(scope="module")
def worker(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A real worker on the real Valkey, in a thread with a connection of its own."""
    app.conf.broker_url = settings.CELERY_BROKER_URL
    with (
        django_db_blocker.unblock(),
        start_worker(
            app, pool="solo", perform_ping_check=False, queues=[QUEUE], shutdown_timeout=patient(30)
        ),
    ):
        yield
    connections.close_all()


@pytest.fixture
def failures() -> Iterator[Queue[Any]]:
    seen: Queue[Any] = Queue()

    def on_failure(exception: Exception, **kwargs: Any) -> None:
        seen.put(exception)

    task_failure.connect(on_failure)
    yield seen
    task_failure.disconnect(on_failure)


def sent_from(schema: str, task: Any, **options: Any) -> None:
    with schema_context(schema):
        task.apply_async(queue=QUEUE, **options)


TENANT = ("t_northwind", "t_northwind", "t_northwind")
PUBLIC = ("public", "fsc_app", "public")


@pytest.mark.usefixtures("worker")
def test_the_tenant_travels_with_the_task():
    for schema, expected in (("t_northwind", TENANT), ("public", PUBLIC)) * 2:
        sent_from(schema, task_where)
        assert done.get(timeout=patient(30)) == expected


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("task", [task_retry, task_chain])
def test_retries_and_further_tasks_keep_it(task):
    sent_from("t_northwind", task)
    assert done.get(timeout=patient(30)) == TENANT


@pytest.mark.usefixtures("worker")
def test_a_database_that_is_away_is_waited_for():
    sent_from("t_northwind", task_away)
    assert done.get(timeout=patient(30)) == TENANT


@pytest.mark.usefixtures("worker")
def test_a_tick_is_not_repeated_but_followed_by_the_next(failures):
    sent_from("public", task_away, expires=60)
    assert isinstance(failures.get(timeout=patient(30)), OperationalError)
    assert done.empty()


@pytest.mark.usefixtures("worker")
def test_a_failed_task_leaves_nothing_behind(failures):
    sent_from("t_northwind", task_fail)
    assert isinstance(failures.get(timeout=patient(30)), ValueError)
    sent_from("public", task_where)
    assert done.get(timeout=patient(30)) == PUBLIC


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("schema", ["t_gone", "fsc_owner", ""])
def test_a_task_of_a_tenant_that_is_gone_does_not_run(failures, schema):
    sent_from("public", task_where, headers={HEADER: schema})
    error = failures.get(timeout=patient(30))
    assert isinstance(error, TenantMismatch)
    assert repr(schema) in str(error)
    assert done.empty()


def test_every_scheduled_task_goes_to_a_known_queue_and_expires():
    for tick in TICKS:
        assert tick.queue in QUEUES
        assert tick.expires >= tick.seconds
        app.loader.import_default_modules()
        assert tick.task in app.tasks


def test_killed_workers_lose_no_task():
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost
