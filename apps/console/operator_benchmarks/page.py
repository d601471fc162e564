"""The values that the operator's page of campaigns and schedules shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.console.shared.campaigns import CampaignRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    name: str
    meaning: str
    task: str
    queue: str
    seconds: int
    enabled: bool
    last_run_at: datetime | None
    sent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorBenchmarksPage:
    campaigns: list[CampaignRow]
    schedules: list[ScheduleRow]
    metrics: list[tuple[str, str, float, float]]
    now: datetime
