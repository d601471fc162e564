"""Processes and folders of the demonstration: the portal, the sites, and commands run in turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from portal.config import BASE, Config
from portal.demo.story import StepFailed

T = TypeVar("T")
LAST_LINES = 15


def wait_for(
    condition: Callable[[], T | None], *, seconds: float, what: str, pause: float = 0.2
) -> T:
    """The condition's first true value. Raises StepFailed after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise StepFailed(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


class Stage:
    """Everything the demonstration starts, so that it can be stopped whole."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self.portal: subprocess.Popen[bytes] | None = None
        self.agents: dict[str, subprocess.Popen[bytes]] = {}

    def home(self, organization: str) -> Path:
        """The folder of an organization's site."""
        return self.folder / "sites" / organization

    def log(self, name: str) -> Path:
        """Where a process of the demonstration writes."""
        return self.folder / "log" / f"{name}.log"

    def portal_start(self) -> None:
        """Start the portal's supervisor and wait until https answers."""
        running = self.config.state / "run" / "up.json"
        running.unlink(missing_ok=True)
        self.portal = self._spawn("portal", "portal.up", "--stop-with-parent")
        log = self.log("portal")

        def ready() -> bool:
            if self.portal is not None and self.portal.poll() is not None:
                raise StepFailed(f"the portal ended:\n{tail(log)}")
            return "Ready" in log.read_text(errors="replace")

        wait_for(ready, seconds=180, what=f"the portal is not ready; see {log}")

    def agent_start(self, organization: str) -> None:
        """Start an organization's site agent in a process of its own."""
        home = self.home(organization)
        self.agents[organization] = self._spawn(
            organization, "federated.command.root", "agent", "--home", str(home)
        )

    def stop(self) -> None:
        """Stop agents, then the portal; what does not end in time is killed."""
        for process in [*self.agents.values(), *([self.portal] if self.portal else [])]:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in [*self.agents.values(), *([self.portal] if self.portal else [])]:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()

    def manage(self, *arguments: str, role: str = "owner") -> str:
        """Run a management command of the portal; what it prints."""
        return run(
            [sys.executable, str(BASE / "manage.py"), *arguments],
            env=self.config.environment(role),
        )

    def federated(self, *arguments: str, text: str | None = None) -> str:
        """Run the ``federated`` command as a user would; what it prints."""
        return run([sys.executable, "-m", "federated.command.root", *arguments], text=text)

    def confirmations(self, organizations: Sequence[str]) -> Path:
        """What the sites' people read out at a ceremony, each from its own machine."""
        lines = [
            self.federated("key", "fingerprint", "--home", str(self.home(name)))
            for name in organizations
        ]
        path = self.folder / "confirmed.txt"
        path.write_text("".join(lines))
        return path

    def _spawn(self, name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=BASE,
                env=self.config.environment("app") | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def run(command: list[str], *, env: dict[str, str] | None = None, text: str | None = None) -> str:
    """Run a command to its end. Raises StepFailed with its last lines."""
    done = subprocess.run(
        command,
        cwd=BASE,
        env=(env or dict(os.environ)) | {"COLUMNS": "200"},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        shown = (done.stdout + done.stderr).strip().splitlines()[-LAST_LINES:]
        raise StepFailed(f"{' '.join(command[1:4])} failed: " + "\n".join(shown))
    return done.stdout


def tail(path: Path) -> str:
    """The last lines of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-LAST_LINES:])
