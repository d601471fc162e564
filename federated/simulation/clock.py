"""A virtual clock: events in the order of their time, nothing waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Event = Callable[[], object]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """``seconds`` since the beginning."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._queue: list[tuple[float, int, Event]] = []
        self._count = 0

    def now(self) -> float:
        return self.seconds

    def time(self) -> datetime:
        """The time of day in the simulation (UTC)."""
        return BEGIN + timedelta(seconds=self.seconds)

    def later(self, seconds: float, event: Event) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.seconds + seconds, self._count, event))

    def until(self, done: Callable[[], bool], limit: float, *, after: Event) -> None:
        """Play events until ``done`` or the limit in seconds; ``after`` follows each of them."""
        while self._queue and not done():
            at, _, event = heapq.heappop(self._queue)
            if at > limit:
                return
            self.seconds = at
            event()
            after()
