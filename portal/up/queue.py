"""Prepares the Celery application for the supervisor.

Worker and beat write a file when they are ready; pool processes end with their parent.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from celery.signals import beat_init, worker_process_init, worker_ready

from portal.celery import app
from portal.config import Config
from portal.up.state import write_atomically
from portal.up.tether import die_with_parent

__all__ = ["app"]

# Several ticks a second: what each received and returned would bury what matters.
for _name in ("celery.worker.strategy", "celery.app.trace"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def _announce(name: str) -> None:
    write_atomically(Config.load().state / "run" / f"{name}.ready", str(os.getpid()))


@worker_ready.connect
def _worker_ready(**_: Any) -> None:
    _announce("worker")


@beat_init.connect
def _beat_ready(**_: Any) -> None:
    _announce("beat")


@worker_process_init.connect
def _tether_pool_process(**_: Any) -> None:
    die_with_parent()
