"""Carries requests between virtual sites and a coordinator in memory, or fails to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TypeVar

from federated.errors import DomainError, Unavailable
from federated.simulation.faults import Fate, Faults

T = TypeVar("T")
Later = Callable[[float, Callable[[], None]], None]


class Carrier:
    """``later`` puts an event on the virtual clock; late requests overtake and are overtaken."""

    def __init__(self, faults: Faults, *, later: Later) -> None:
        self.faults, self.later = faults, later
        self.trace: list[str] = []

    def carry(self, name: str, what: str, deliver: Callable[[], T]) -> T:
        """One request and its answer. Raises Unavailable where the answer does not come."""
        fate = self.faults.fate()
        self.trace.append(f"{name} {what} {fate.value}")

        def again() -> None:
            with contextlib.suppress(DomainError):
                deliver()

        if fate is Fate.REQUEST_LOST:
            raise Unavailable(f"{what}: lost")
        if fate in (Fate.LATE, Fate.REPEATED):
            self.later(self.faults.lateness(), again)
        if fate is Fate.LATE:
            raise Unavailable(f"{what}: no answer in time")
        answer = deliver()
        if fate is Fate.ANSWER_LOST:
            raise Unavailable(f"{what}: the answer was lost")
        return answer

    def say(self, name: str, what: str, deliver: Callable[[], None]) -> None:
        """A message: the process may die just before it is sent and just after."""
        self.faults.crash_point()
        self.carry(name, what, deliver)
        self.faults.crash_point()
