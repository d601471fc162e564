"""One supervisor for one state directory."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from portal.up.errors import AlreadyRunning
from portal.up.state import write_atomically

RUNNING_FILE = "run/up.json"


@contextmanager
def state_lock(state: Path) -> Iterator[None]:
    """Hold the state directory. Raises AlreadyRunning with the pid of the holder."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "up.lock").open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise AlreadyRunning(
                f"the services run already with the state {state} (pid {handle.read().strip()}); "
                "end that process, or give another directory with --state or FSC_STATE"
            ) from None
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield


def announce(state: Path, url: str) -> None:
    """Tells the process that started this one that everything is ready."""
    write_atomically(state / RUNNING_FILE, json.dumps({"pid": os.getpid(), "url": url}) + "\n")


def withdraw(state: Path) -> None:
    (state / RUNNING_FILE).unlink(missing_ok=True)
