"""Submissions and noise go when an ended run's retention is over; their digests stay.

The key's trustees together could open them as long as they are stored: a noise share is as telling
as a vote, for it comes off the released sums. The shares still lead to what was released.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.benchmarks.models import Noise, Run, Submission
from apps.benchmarks.services.runs import run_event
from apps.common.coordinator import as_coordinator
from apps.provenance.tags import Tag

RUNS_MOST = 50


def submissions_expire() -> int:
    """Delete the ciphertexts of runs past their retention; how many runs. A few a call."""
    with as_coordinator():
        kept = timedelta(days=settings.FSC_CONFIG.benchmarks.retention_days)
        due = (
            Run.objects.filter(state__in=Run.ENDED, expired_at=None, submissions__isnull=False)
            .annotate(ended=Coalesce("released_at", "abandoned_at"))
            .filter(ended__lt=timezone.now() - kept)
        )
        ids = list(due.order_by("ended").values_list("pk", flat=True).distinct()[:RUNS_MOST])
        return sum(_run_expire(run_id) for run_id in ids)


def _run_expire(run_id: Any) -> bool:
    """False if another call was quicker."""
    with transaction.atomic():
        won = Run.objects.filter(pk=run_id, state__in=Run.ENDED, expired_at=None).update(
            expired_at=timezone.now(), product=None
        )
        if not won:
            return False
        found = Run.objects.get(pk=run_id)
        submissions = Submission.objects.filter(run=found).update(content=b"")
        noise = Noise.objects.filter(run=found).update(content=b"")
        run_event(
            Tag.SUBMISSIONS_EXPIRED,
            found,
            data={
                "submissions": submissions,
                "noise": noise,
                "ended_at": found.ended_at.isoformat() if found.ended_at else "",
            },
        )
        return True
