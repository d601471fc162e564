"""Starts the services in order, restarts what dies, stops them in reverse.

It runs in a separate process; descendants that are left at the end are killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from types import FrameType

import psutil
from rich.markup import escape

from federated.errors import DomainError
from portal.config import Config
from portal.up import bootstrap
from portal.up.chain import Chain
from portal.up.lock import announce, state_lock, withdraw
from portal.up.postgres import Postgres
from portal.up.report import Report
from portal.up.service import Service
from portal.up.state_version import version_check, version_stamp
from portal.up.tether import adopt_orphans
from portal.up.valkey import Valkey
from portal.up.web import Web
from portal.up.worker import Beat, Worker

TICK_SECONDS = 0.2
LOG_SECONDS = 60.0
# The delay before a restart doubles up to the limit, and is forgotten after a quiet time.
FIRST_DELAY = 0.2
LONGEST_DELAY = 10.0
QUIET_SECONDS = 30.0


@dataclass
class Recovery:
    """A service that died: when it is started again, and how often it was."""

    due: float
    delay: float
    died: float
    spawned: float | None = None
    recovered: float | None = None


class Supervisor:
    def __init__(
        self, config: Config, report: Report | None = None, stop_with_parent: bool = False
    ) -> None:
        self.config = config
        self.report = report or Report()
        self.web = Web(config)
        self.postgres = Postgres(config) if "postgres" in config.embeds else None
        self.started: list[Service] = []
        self._parent = os.getppid() if stop_with_parent else None
        self._stops = 0
        self._last_said = ""
        self._recoveries: dict[str, Recovery] = {}

    def run(self) -> None:
        """Serve until SIGINT, SIGTERM or SIGHUP. Raises DomainError if something did not start."""
        version_check(self.config.state)
        with state_lock(self.config.state):
            version_stamp(self.config.state)
            self.web.check()
            self._listen_to_signals()
            adopt_orphans()
            began = time.monotonic()
            try:
                self._start_all()
                if not self.is_stopping():
                    announce(self.config.state, self.config.url)
                    self._greet(time.monotonic() - began)
                self._watch()
            finally:
                withdraw(self.config.state)
                self._stop_all()

    def is_stopping(self) -> bool:
        return self._stops > 0 or (self._parent is not None and os.getppid() != self._parent)

    # Start.

    def _start_all(self) -> None:
        config = self.config
        if self.postgres is not None:
            self._start(self.postgres)
            if self.is_stopping():
                return
            self.postgres.ensure_roles_and_database()
        if "valkey" in config.embeds:
            self._start(Valkey(config))
        if "chain" in config.embeds:
            for number in range(1, config.blockchain.authorities + 1):
                self._start(Chain(config, number))
        for command in bootstrap.steps(config):
            self._start(command, keep=False)
            self._last_said = command.last_line()
        for service in (self.web, Worker(config), Beat(config)):
            self._start(service)

    def _start(self, service: Service, *, keep: bool = True) -> None:
        if self.is_stopping():
            return
        with self.report.step(service.name, lambda: service.detail):
            if keep:
                self.started.append(service)
            try:
                service.start(self.is_stopping)
            finally:
                if not keep:
                    service.stop()

    def _greet(self, seconds: float) -> None:
        self.report.say(escape(self._last_said))
        self.report.say(
            f"[bold green]Ready[/] in {seconds:.1f} s: [bold]{self.config.url}[/]  "
            f"state {self.config.state}, logs {self.config.log_dir}. Ctrl-C stops everything."
        )

    # Watch.

    def _watch(self) -> None:
        logs_due = time.monotonic()
        while not self.is_stopping():
            self.tick()
            if time.monotonic() >= logs_due:
                logs_due = time.monotonic() + LOG_SECONDS
                for service in self.started:
                    service.trim_log()
            time.sleep(TICK_SECONDS)

    def tick(self) -> None:
        """Look at every service once; nothing here waits long."""
        for service in self.started:
            if self.is_stopping():
                return
            recovery = self._recoveries.get(service.name)
            if not service.is_alive:
                self._restart(service, recovery)
            elif recovery is not None and recovery.spawned is not None:
                self._check_recovery(service, recovery)
        if _somebody_ended():
            self._reap()

    def _restart(self, service: Service, recovery: Recovery | None) -> None:
        now = time.monotonic()
        if recovery is None or recovery.spawned is not None:
            died_again = recovery is not None and (
                recovery.recovered is None or now - recovery.recovered < QUIET_SECONDS
            )
            delay = (
                min(recovery.delay * 2, LONGEST_DELAY) if recovery and died_again else FIRST_DELAY
            )
            recovery = Recovery(due=now + delay, delay=delay, died=now)
            self._recoveries[service.name] = recovery
            self.report.note(service.name, f"{self._how_it_died(service)}; restarts in {delay} s")
            # Whatever it left in its group would hold its port, or do its work twice.
            service.kill()
            self._reap()
        if now >= recovery.due:
            recovery.spawned = now
            try:
                service.spawn()
            except (DomainError, OSError) as error:
                self.report.note(service.name, str(error))

    def _check_recovery(self, service: Service, recovery: Recovery) -> None:
        if recovery.recovered is not None or recovery.spawned is None:
            return
        now = time.monotonic()
        if service.is_ready():
            recovery.recovered = now
            self.report.note(service.name, f"ready again after {now - recovery.died:.1f} s")
        elif now - recovery.spawned > service.ready_seconds:
            service.kill()

    @staticmethod
    def _how_it_died(service: Service) -> str:
        code = service.process.returncode if service.process else None
        if code is not None and code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    # Stop.

    def _listen_to_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stops += 1
        if self._stops > 1:
            # Asked twice: no more patience.
            for service in self.started:
                if service.process is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(service.process.pid, signal.SIGKILL)

    def _stop_all(self) -> None:
        for service in reversed(self.started):
            with self.report.step(service.name, lambda: "stopped"):
                service.stop()
            self._reap()
        for left in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
        deadline = time.monotonic() + 5
        while psutil.Process().children() and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.02)

    def _reap(self) -> None:
        """Collect adopted processes that ended; a service's own is its Popen's to collect."""
        own = {service.process.pid for service in self.started if service.process is not None}
        for child in psutil.Process().children():
            if child.pid not in own:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child.pid, os.WNOHANG)


def _somebody_ended() -> bool:
    """Return whether a child, or an orphan that was adopted, waits to be collected."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False
