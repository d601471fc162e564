"""The Celery application: queues, schedule, and tasks that know their tenant.

A message carries the schema it was published from. The worker runs the task in that schema, as
that organization's role, or not at all: Celery swallows what its signals raise, so the tenant is
entered in ``__call__``, where a failure is the task's failure.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery, Task
from celery.signals import before_task_publish

from portal.queues import ROUTES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

HEADER = "tenant_schema"
PUBLIC = "public"
RETRIES = 20
LONGEST_PAUSE = 30


class TenantMismatch(RuntimeError):
    """A task whose tenant is gone, not active, or was never stamped."""


class TenantTask(Task[..., Any]):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from django.db import InterfaceError, OperationalError

        if self.request.called_directly or self.request.is_eager:
            return super().__call__(*args, **kwargs)
        schema = self.request.get(HEADER)
        try:
            return self._run_in(schema, args, kwargs)
        except (OperationalError, InterfaceError) as error:
            # The database is away. A tick is followed by the next one; other work is tried again.
            if self.request.expires:
                raise
            pause = min(2**self.request.retries, LONGEST_PAUSE)
            raise self.retry(
                exc=error, countdown=pause, max_retries=RETRIES, headers={HEADER: schema}
            ) from error

    def _run_in(self, schema: str | None, args: Any, kwargs: Any) -> Any:
        from django_tenants.utils import schema_context

        from apps.common.requests import tenant_connection

        # Whatever the process did before, it starts from the public schema.
        tenant_connection().set_schema_to_public()
        if schema != PUBLIC and not _is_active(schema):
            raise TenantMismatch(f"{self.name}: there is no active tenant {schema!r}")
        with schema_context(schema):
            return super().__call__(*args, **kwargs)


def _is_active(schema: str | None) -> bool:
    from apps.organizations.selectors import organizations_active

    return schema is not None and organizations_active().filter(schema_name=schema).exists()


@before_task_publish.connect
def stamp_tenant(headers: dict[str, Any] | None = None, **kwargs: Any) -> None:
    from apps.common.requests import tenant_connection

    if headers is not None:
        headers.setdefault(HEADER, tenant_connection().schema_name)


app = Celery("portal", task_cls=TenantTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


app.conf.update(
    task_default_queue="training",
    task_routes={tasks: {"queue": queue} for tasks, queue in ROUTES.items()},
    # A task is done when it is done: a killed worker's tasks go to another.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    # A request that enqueues does not wait for a broker that is away: the next tick catches up.
    broker_transport_options={
        "visibility_timeout": 600,
        "max_retries": 1,
        "interval_start": 0,
        "connect_retries_timeout": 1,
    },
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    # States are in the database; nobody reads results from the broker.
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    worker_hijack_root_logger=False,
    # Beat reads the database: apps.schedules seeds it, the operator's page changes it.
    beat_scheduler="django_celery_beat.schedulers:DatabaseScheduler",
    beat_max_loop_interval=1,
    # No results, so nothing to clean up.
    result_expires=None,
)
