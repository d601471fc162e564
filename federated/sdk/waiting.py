"""Waiting for something that another process or machine does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(
    look: Callable[[], T],
    done: Callable[[T], bool],
    *,
    deadline: float | None,
    pause: float,
    progress: Callable[[T], None] = lambda seen: None,
) -> T:
    """Look every ``pause`` seconds until what is seen is ``done``; return what was seen last.

    ``deadline`` is a ``time.monotonic()``, or None to wait for ever. The first look is always made.
    What it returns at the deadline is not done: the caller tests it, and says what did not happen.
    ``progress`` is told of every look; ``look``, ``done`` and ``progress`` may raise to end the
    wait.
    """
    while True:
        seen = look()
        progress(seen)
        if done(seen) or (deadline is not None and time.monotonic() >= deadline):
            return seen
        time.sleep(pause)
