"""Names one attempt: its job, its round, and the number of the try."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """One try at a round of a job."""

    job_id: str
    round: int
    number: int

    def file(self, name: str) -> str:
        """The name that the job's folder keeps a message of this attempt under."""
        return f"attempts/{self.round}-{self.number}/{name}"

    def __str__(self) -> str:
        return f"round {self.round}/{self.number}"
