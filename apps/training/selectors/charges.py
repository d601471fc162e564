"""What the portal knows of an organization's charges: attempts and accepted receipts."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Exists, OuterRef

from apps.budgets.reconcile import Attempt
from apps.training.models import JobParticipant, Receipt, Round
from federated.protocol.cost import round_rho


def charges_known(organization: str) -> Iterator[Attempt]:
    """The attempts of an organization's jobs, each with the cohort that its receipt charges."""
    jobs = JobParticipant.objects.filter(organization=organization).values("job_id")
    receipts = Receipt.objects.filter(round=OuterRef("pk"), organization=organization)
    found = (
        Round.objects.filter(job__in=jobs)
        .defer("product", "release", "cohort", "context")
        .select_related("job")
        .annotate(charged_here=Exists(receipts))
    )
    costs: dict[object, float] = {}
    for row in found:
        if row.job_id not in costs:
            spec = row.job.wire
            costs[row.job_id] = round_rho(spec)
        yield Attempt(
            job_id=str(row.job_id),
            round=row.number,
            attempt=row.attempt,
            open=row.state in Round.OPEN,
            cohort=row.cohort_digest if row.charged_here else "",
            rho=costs[row.job_id],
        )
