"""What the portal knows of an organization's charges for campaigns."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Exists, OuterRef

from apps.benchmarks.models import Run, RunReceipt
from apps.benchmarks.selectors.campaigns import campaigns_of
from apps.budgets.reconcile import Attempt


def charges_known(organization: str) -> Iterator[Attempt]:
    """The runs of an organization's campaigns, each with the cohort that its receipt charges."""
    receipts = RunReceipt.objects.filter(run=OuterRef("pk"), organization=organization)
    found = (
        Run.objects.filter(campaign__in=campaigns_of(organization))
        .defer("product", "release", "approvals")
        .annotate(charged_here=Exists(receipts))
    )
    for row in found:
        agreement = row.agreement
        yield Attempt(
            job_id=agreement.ledger_id,
            round=row.number,
            attempt=1,
            open=row.going,
            cohort=row.cohort_digest if row.charged_here else "",
            rho=agreement.cost.rho,
        )
