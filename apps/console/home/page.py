"""The values that an organization's home page shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.console.shared.accounts import AccountRow
from apps.console.shared.charts import Part
from apps.console.shared.events import EventRow
from apps.console.shared.sites import SiteRow


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    id: str
    title: str
    proposer: str
    state: str
    reason: str
    rounds_done: int
    rounds: int
    epsilon_spent: float
    epsilon_target: float | None
    created_at: datetime

    @property
    def progress(self) -> list[Part]:
        return [("released", self.rounds_done, 4)]

    @property
    def progress_label(self) -> str:
        return f"{self.rounds_done} of {self.rounds} rounds released"


@dataclass(frozen=True, slots=True, kw_only=True)
class HomePage:
    name: str
    slug: str
    state: str
    sites: list[SiteRow]
    accounts: list[AccountRow]
    reported_at: datetime | None
    jobs: list[JobRow]
    events: list[EventRow]
    log_note: str

    @property
    def running(self) -> int:
        return sum(job.state == "running" for job in self.jobs)

    @property
    def waiting(self) -> int:
        return sum(job.state in ("proposed", "queued") for job in self.jobs)
