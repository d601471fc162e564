"""What sites sent in ciphertext goes when an ended job's retention is over; digests stay.

The key's trustees together could open it as long as it is stored. What is left says which
contributions a cohort had, and the shares still lead to the released sum.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.common.actor import COORDINATOR
from apps.common.coordinator import as_coordinator
from apps.provenance.services import event_record
from apps.provenance.tags import Tag
from apps.training.models import Contribution, Job, MaskedVector, Round
from apps.training.services.vectors import vector_delete
from federated.protocol.expired import expired_of

JOBS_MOST = 20
REASON = "retention"


def contributions_expire() -> int:
    """Delete the ciphertexts and masked vectors of jobs past their retention; how many jobs.

    Takes a few jobs a call; whoever dies on the way leaves the rest to the next call.
    """
    with as_coordinator():
        due = Job.objects.filter(
            state__in=Job.ENDED,
            ended_at__lt=timezone.now() - timedelta(days=settings.FSC_CONFIG.jobs.retention_days),
            expired_at=None,
            rounds__contributions__isnull=False,
        )
        ids = list(due.order_by("ended_at").values_list("pk", flat=True).distinct()[:JOBS_MOST])
        return sum(_expire(job_id) for job_id in ids)


def _expire(job_id: Any) -> bool:
    """Files first: a job that is marked has none left. False if another call was quicker."""
    for vector in MaskedVector.objects.filter(round__job=job_id).select_related("round"):
        # Deleted before, its file may still lie there: whoever deleted it may have died.
        vector_delete(vector=vector, reason=REASON)
    with transaction.atomic():
        moment = timezone.now()
        won = Job.objects.filter(pk=job_id, state__in=Job.ENDED, expired_at=None).update(
            expired_at=moment
        )
        if not won:
            return False
        job = Job.objects.get(pk=job_id)
        kept = Contribution.objects.filter(round__job=job, expired__isnull=True)
        count = 0
        for row in kept.iterator(chunk_size=20):
            remains = expired_of(row.signed)
            Contribution.objects.filter(pk=row.pk).update(content=b"", expired=remains.dump())
            count += 1
        Round.objects.filter(job=job).update(product=None)
        event_record(
            tag=Tag.CONTRIBUTIONS_EXPIRED,
            actor=COORDINATOR,
            subject=("job", job.pk),
            digests={"spec": job.spec_digest},
            data={"contributions": count, "ended_at": _time(job.ended_at)},
        )
        return True


def _time(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()
