"""Lists the portal's own ticks, which Celery beat sends to look for due work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """A task by name, sent every so many seconds; ``meaning`` is for the operator's page."""

    name: str
    task: str
    seconds: int
    meaning: str

    @property
    def queue(self) -> str:
        """A task's queue is its app's."""
        return self.task.partition(".")[0]

    @property
    def expires(self) -> int:
        """A tick that waited longer than a few periods has been overtaken by the next ones."""
        return max(5, 3 * self.seconds)


TICKS = (
    Tick("sequence", "provenance.sequence", 1, "numbers the logs' events"),
    Tick("checkpoint", "provenance.checkpoint", 2, "signs the logs' heads"),
    Tick("anchor", "provenance.anchor", 3, "anchors checkpoints in the chain"),
    Tick("training", "training.tick", 1, "advances jobs and rounds"),
    Tick("benchmarks", "benchmarks.tick", 2, "opens and closes campaigns' runs"),
    Tick("verifications", "audit.verifications_tick", 5, "takes up what waits or was left"),
    Tick("unused keys", "attempts.keys_retire", 10, "retires keys that nothing uses"),
    Tick("retention", "attempts.expire", 600, "deletes ciphertexts past their retention"),
    Tick(
        "left of vectors",
        "training.vectors_sweep",
        3600,
        "removes unfinished uploads and parts of sums that are over",
    ),
    Tick("revocation list", "organizations.crl_refresh", 3600, "renews the revocation list"),
)
