"""A peer's virtual environment and what one run of it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from tests.bench.frame import VAR

HOME = VAR / "peers"
CLIENTS = 4


class NotMeasured(Exception):
    """A peer could not be installed or run; the message is the reason that the output shows."""


@dataclass(frozen=True)
class Run:
    """One run of a peer.

    ``marks``: the wall clock, in seconds, at one and the same moment of every round, in order.
    ``seconds``: end to end, from the first process's start to the last result.
    ``peaks``: MiB by role of process. ``accuracy``: of the last model, on all rows.
    """

    marks: tuple[float, ...]
    seconds: float
    accuracy: float
    peaks: dict[str, float] = field(default_factory=dict)

    def rounds(self) -> list[float]:
        """Seconds from each round's mark to the next one's."""
        return [later - mark for mark, later in pairwise(self.marks)]


@dataclass(frozen=True)
class Environment:
    """A virtual environment with pinned packages, made on first use.

    One that ``shares`` sees this environment's packages too (torch is large) and takes its own
    without their dependencies.
    """

    name: str
    pins: tuple[str, ...]
    shares: bool = False

    @property
    def root(self) -> Path:
        return HOME / self.name

    def program(self, name: str) -> str:
        return str(self.root / "venv/bin" / name)

    def variables(self, **more: str) -> dict[str, str]:
        """The caller's variables with the peer's programs first and its telemetry off."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DJANGO"))}
        path = f"{self.root / 'venv/bin'}{os.pathsep}{kept.get('PATH', '')}"
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
        quiet |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONUNBUFFERED": "1"}
        return kept | quiet | {"PATH": path, "VIRTUAL_ENV": str(self.root / "venv")} | more

    def install(self) -> None:
        """Make it if these pins are not installed yet.

        Raises NotMeasured with pip's last line.
        """
        mark = self.root / "installed.json"
        if mark.exists() and json.loads(mark.read_text()) == list(self.pins):
            return
        self.root.mkdir(parents=True, exist_ok=True)
        python = self.program("python")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(self.root / "venv")],
            [*pip, *(["--no-deps"] if self.shares else []), *self.pins],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
                raise NotMeasured(f"cannot be installed: {reason}")
        if self.shares:
            (packages,) = (self.root / "venv/lib").glob("python3*/site-packages")
            (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
        mark.write_text(json.dumps(list(self.pins)))


def last_lines(log: Path, count: int = 3) -> str:
    """The end of a log, for a reason."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return " | ".join(lines[-count:])[-400:] or "no output"
