"""All campaigns, and the portal's own schedules."""

from __future__ import annotations

from django.utils import timezone

from apps.benchmarks.drafts import KNOWN
from apps.benchmarks.models import Campaign
from apps.console.operator_benchmarks import page as pages
from apps.console.shared.campaigns import CAMPAIGNS_SHOWN, campaign_row
from apps.schedules.selectors import schedules, seconds_between
from apps.schedules.ticks import TICKS


def operator_benchmarks_page() -> pages.OperatorBenchmarksPage:
    """Call in the public schema."""
    meanings = {tick.name: tick.meaning for tick in TICKS}
    return pages.OperatorBenchmarksPage(
        campaigns=[campaign_row(campaign) for campaign in Campaign.objects.all()[:CAMPAIGNS_SHOWN]],
        schedules=[
            pages.ScheduleRow(
                name=row.name,
                meaning=meanings.get(row.name, ""),
                task=row.task,
                queue=row.queue or "",
                seconds=seconds_between(row),
                enabled=row.enabled,
                last_run_at=row.last_run_at,
                sent=row.total_run_count,
            )
            for row in schedules().order_by("name")
        ],
        metrics=[(key, unit, lower, upper) for key, (unit, lower, upper, _, _) in KNOWN.items()],
        now=timezone.now(),
    )
