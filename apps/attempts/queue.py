"""Enqueues tasks on commit. A broker that is away costs the wait for a tick, no more."""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app
from django.db import transaction

from apps.common.coordinator import as_coordinator

log = logging.getLogger(__name__)


def enqueue(task: str, *args: Any) -> None:
    """Send the named task on commit, as the coordinator's own work."""
    arguments = [str(argument) for argument in args]
    transaction.on_commit(lambda: _send(task, arguments), robust=True)


def _send(task: str, arguments: list[str]) -> None:
    # The message carries the schema it is sent from, and these tasks see every participant.
    with as_coordinator():
        current_app.send_task(task, args=arguments, retry=False)
