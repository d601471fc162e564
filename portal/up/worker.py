"""The Celery worker and beat."""

from __future__ import annotations

import sys

from portal.queues import QUEUES
from portal.up.service import Service

CONCURRENCY = 2


class CeleryProcess(Service):
    ready_seconds = 240

    def celery(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "celery", "-A", "portal.up.queue", *arguments]

    def environment(self) -> dict[str, str]:
        return self.config.environment("app")

    def is_ready(self) -> bool:
        try:
            announced = (self.config.state / "run" / f"{self.name}.ready").read_text()
        except FileNotFoundError:
            return False
        return self.process is not None and announced == str(self.process.pid)


class Worker(CeleryProcess):
    name = "worker"
    detail = f"{CONCURRENCY} processes"
    stop_seconds = 20

    def command(self) -> list[str]:
        return self.celery(
            *("worker", "--queues", ",".join(QUEUES), "--concurrency", str(CONCURRENCY)),
            *("--loglevel", "INFO", "--hostname", "worker@fsc"),
            # One worker has nobody to gossip with.
            *("--without-gossip", "--without-mingle"),
        )


class Beat(CeleryProcess):
    name = "beat"

    def command(self) -> list[str]:
        return self.celery(
            *("beat", "--loglevel", "WARNING"),
            # The supervisor sees to it that there is one; a stale pid file would stop it.
            "--pidfile=",
        )
