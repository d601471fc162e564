"""Lists the portal's own ticks, which Celery beat sends to look for due work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """A task by name, sent every so many seconds; ``meaning`` is for the operator's page."""

    name: str
    task: str
    seconds: int
    queue: str
    meaning: str

    @property
    def expires(self) -> int:
        """A tick that waited longer than a few periods has been overtaken by the next ones."""
        return max(5, 3 * self.seconds)


TICKS = (
    Tick("sequence", "provenance.sequence", 1, "provenance", "numbers the logs' events"),
    Tick("checkpoint", "provenance.checkpoint", 2, "provenance", "signs the logs' heads"),
    Tick("anchor", "provenance.anchor", 3, "provenance", "anchors checkpoints in the chain"),
    Tick("training", "training.tick", 1, "training", "advances jobs and rounds"),
    Tick("benchmarks", "benchmarks.tick", 2, "benchmarks", "opens and closes campaigns' runs"),
    Tick(
        "verifications", "audit.verifications_tick", 5, "audit", "takes up what waits or was left"
    ),
    Tick("unused keys", "training.keys_retire", 10, "training", "retires keys that no job uses"),
    Tick(
        "retention",
        "training.contributions_expire",
        600,
        "training",
        "deletes ciphertexts of jobs past their retention",
    ),
    Tick(
        "campaigns' retention",
        "benchmarks.submissions_expire",
        600,
        "benchmarks",
        "deletes ciphertexts of campaigns' runs past their retention",
    ),
    Tick(
        "left of vectors",
        "training.vectors_sweep",
        3600,
        "training",
        "removes unfinished uploads and parts of sums that are over",
    ),
    Tick(
        "revocation list",
        "organizations.crl_refresh",
        3600,
        "organizations",
        "renews the revocation list",
    ),
)
