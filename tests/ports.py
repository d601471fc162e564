"""Ports of 127.0.0.1 for servers that tests start."""

from __future__ import annotations

import fcntl
import tempfile
from pathlib import Path
from typing import IO

from portal.up.state import port_choose

_HELD: list[IO[str]] = []
"""Locks of the ports that this process has given out: another worker does not get them too."""


def free_port() -> int:
    """A port that nothing listens on, that no outgoing connection gets, and no other worker."""
    folder = Path(tempfile.gettempdir()) / "fsc-test-ports"
    folder.mkdir(mode=0o777, exist_ok=True)
    tried: set[int] = set()
    while True:
        port = port_choose(tried)
        tried.add(port)
        try:
            held = (folder / str(port)).open("a")
        except PermissionError:  # Another user's tests have given it out.
            continue
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            continue
        _HELD.append(held)
        return port
