"""What goes wrong, drawn from the seed alone: lost, late and repeated messages, crashes.

Only faults, timing and malice follow the seed. Keys, noise and proofs draw their randomness from
the operating system as always, so a seed repeats what happened, not the bytes.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=0.9)]


class FaultShares(BaseModel):
    """Probabilities: ``drop``, ``delay``, ``replay`` a request; ``crash`` a durable write."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drop: Share = 0.05
    delay: Share = 0.05
    replay: Share = 0.05
    crash: Share = 0.01


class Crash(BaseException):
    """A site's process dies here; not an Exception, so that no agent survives it."""


class Fate(StrEnum):
    """What the network does with one request."""

    DELIVERED = "delivered"
    REQUEST_LOST = "request_lost"
    ANSWER_LOST = "answer_lost"
    LATE = "late"
    REPEATED = "repeated"


@dataclass
class Faults:
    """Draws them by ``shares``; none while ``quiet``."""

    random: random.Random
    shares: FaultShares
    quiet: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def fate(self) -> Fate:
        """How one request fares."""
        if self.quiet:
            return Fate.DELIVERED
        draw = self.random.random()
        for fate, share in (
            (Fate.REQUEST_LOST, self.shares.drop / 2),
            (Fate.ANSWER_LOST, self.shares.drop / 2),
            (Fate.LATE, self.shares.delay),
            (Fate.REPEATED, self.shares.replay),
        ):
            if draw < share:
                self.counts[fate.value] += 1
                return fate
            draw -= share
        return Fate.DELIVERED

    def crash_point(self) -> None:
        """A place where the process may die. Raises Crash."""
        if not self.quiet and self.random.random() < self.shares.crash:
            self.counts["crash"] += 1
            raise Crash

    def lateness(self) -> float:
        """Seconds until a late or repeated request arrives; long enough to be overtaken."""
        return self.random.choice((0.5, 3.0, 20.0, 90.0)) * self.random.uniform(0.5, 1.5)

    def downtime(self) -> float:
        """Seconds until a crashed site runs again."""
        return self.random.choice((0.1, 2.0, 15.0, 70.0)) * self.random.uniform(0.5, 1.5)


def faults_of(seed: int, shares: FaultShares, drop: float | None) -> Faults:
    """A seed's faults; ``drop`` replaces the share of requests that are lost."""
    if drop is not None:
        shares = shares.model_copy(update={"drop": drop})
    # Faults alone: keys, noise and proofs never draw from it.
    return Faults(random.Random(seed), shares)  # noqa: S311
