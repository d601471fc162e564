"""One service: how to start it, when it is ready, how to stop it, and its process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import psutil

from portal.config import BASE, Config
from portal.up.errors import ServiceFailed
from portal.up.state import port_is_free, port_renew, write_atomically

TETHER = Path(__file__).with_name("tether.py")
POLL_SECONDS = 0.05
LOG_LINES = 12
LOG_BYTES = 10 * 2**20


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition; False if it did not hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def tethered(
    command: list[str], signal_number: int = signal.SIGKILL, user: int | None = None
) -> list[str]:
    """The command, run as `user` and ended by that signal when this process ends."""
    tether = [sys.executable, "-I", "-S", str(TETHER)]
    account = "-" if user is None else str(user)
    return [*tether, str(os.getpid()), str(int(signal_number)), account, *command]


class Service(ABC):
    """A process in a session of its own, tethered to this one, with a log and a pid on record."""

    name: str
    # Whether it listens on a loopback port of its own, chosen once and kept.
    has_port: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    # What the kernel sends when the supervisor itself is killed.
    orphan_signal: signal.Signals = signal.SIGKILL
    ready_seconds: float = 120
    start_attempts: int = 1
    stop_seconds: float = 15

    def __init__(self, config: Config) -> None:
        self.config = config
        self.process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; no secret is among them."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether it answers."""

    def prepare(self) -> None:  # noqa: B027
        """Runs before every start."""

    @property
    def detail(self) -> str:
        """Returns a line about the service for a person."""
        return f"127.0.0.1:{self.config.port(self.name)}" if self.has_port else ""

    def prefix(self) -> list[str]:
        """A program that sets the credentials of the command, before the tether."""
        return []

    def environment(self) -> dict[str, str]:
        return {}

    @property
    def user(self) -> int | None:
        """Another user to run as."""
        return None

    # The process.

    @property
    def log_path(self) -> Path:
        return self.config.log_dir / f"{self.name}.log"

    @property
    def _record_path(self) -> Path:
        return self.config.state / "run" / f"{self.name}.json"

    def spawn(self) -> None:
        self.end_leftover()
        # Only a first start may take another port: those who use it know the old one.
        first = self.process is None
        if first and self.has_port and not port_is_free(self.config.port(self.name)):
            port_renew(self.config.state, self.name)
        self.prepare()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        command = [*self.prefix(), *tethered(self.command(), self.orphan_signal, self.user)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=BASE,
                env={**os.environ, **self.environment()},
                start_new_session=True,
            )
        born = psutil.Process(self.process.pid).create_time()
        write_atomically(
            self._record_path, json.dumps({"pid": self.process.pid, "created": born}) + "\n"
        )

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def is_up(self) -> bool:
        return self.is_alive and self.is_ready()

    def start(self, interrupted: Callable[[], bool] = lambda: False) -> None:
        """Spawn, and return when it is ready, or when interrupted.

        Raises ServiceFailed with the end of its log.
        """
        deadline = time.monotonic() + self.ready_seconds
        for attempt in range(1, self.start_attempts + 1):
            self.spawn()
            wait_until(
                lambda: interrupted() or not self.is_alive or self.is_ready(),
                deadline - time.monotonic(),
            )
            if interrupted() or self.is_up:
                return
            if self.is_alive or time.monotonic() > deadline:
                break
            time.sleep(0.2 * attempt)
        ended = self.process is not None and self.process.poll() is not None
        how = "ended" if ended else f"did not become ready in {self.ready_seconds:.0f} s"
        self.kill()
        raise ServiceFailed(f"{self.name} {how}. {self.log_path} ends:\n{self.log_end()}")

    def stop(self) -> None:
        """Ask it to end; kill what is left of it after `stop_seconds`. Idempotent."""
        if self.process is None:
            return
        if self.is_alive:
            self.process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self.stop_seconds)
        self.kill()
        self._record_path.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it and its group at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def end_leftover(self) -> None:
        """End the process that an earlier supervisor left, if it is still the one on record."""
        if self.is_alive:
            return
        try:
            record = json.loads(self._record_path.read_text())
            leftover = psutil.Process(record["pid"])
            if leftover.create_time() != record["created"]:
                return
            leftover.send_signal(self.stop_signal)
            leftover.wait(self.stop_seconds)
        except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
            return
        except psutil.TimeoutExpired:
            leftover.kill()
            leftover.wait()

    def trim_log(self) -> None:
        """Keep a log of at most LOG_BYTES and one predecessor; writers append, so they go on."""
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES:
            shutil.copyfile(self.log_path, self.log_path.with_suffix(".log.1"))
            os.truncate(self.log_path, 0)

    def log_end(self) -> str:
        try:
            text = self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return "(empty)"
        return "\n".join(f"  {line}" for line in text.splitlines()[-LOG_LINES:]) or "(empty)"
