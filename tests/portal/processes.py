"""What the tests of the supervisor share: free addresses, and every process of one state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import psutil

from portal.config import BASE


def processes_of(state: Path) -> list[psutil.Process]:
    """Every process that names this state directory in its arguments or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if any(str(state) in part for part in process.cmdline()) or process.environ().get(
                "FSC_STATE"
            ) == str(state):
                found.append(process)
        except psutil.Error:
            continue
    return found


def up(state: Path, port: int, **kwargs: object) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if "FEDERATED__" not in key}
    return subprocess.Popen(
        [sys.executable, "-m", "portal.up", "--state", str(state), "--port", str(port)],
        cwd=BASE,
        env={**environment, "FSC_STATE": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **kwargs,  # type: ignore[call-overload]
    )


def answers(port: int) -> bool:
    try:
        return httpx.get(f"https://127.0.0.1:{port}/", verify=False).status_code < 500
    except httpx.HTTPError:
        return False
