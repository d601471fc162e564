"""What the portal knows of an organization's charges: attempts and accepted receipts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Exists, OuterRef

from apps.attempts.models import Attempt as AttemptRow
from apps.attempts.models import AttemptMessage
from apps.attempts.selectors.agreements import agreements_of
from apps.budgets.reconcile import Attempt


def charges_known(organization: str) -> Iterator[Attempt]:
    """The attempts of an organization's agreements, each with the cohort its receipt charges."""
    receipts = AttemptMessage.objects.filter(
        attempt=OuterRef("pk"), organization=organization, name="receipt"
    )
    rows: Any = (
        AttemptRow.objects.filter(agreement__in=agreements_of(organization))
        .defer("product", "release", "cohort", "context", "approvals")
        .annotate(charged_here=Exists(receipts))
    )
    agreements: dict[Any, Any] = agreements_of(organization).in_bulk()
    for row in rows:
        if row.agreement_id not in agreements:
            continue  # Of an agreement that took the organization in a moment ago.
        row.agreement = agreements[row.agreement_id]
        yield Attempt(
            job_id=row.terms.ledger_id,
            round=row.number,
            attempt=row.attempt,
            open=row.open,
            cohort=row.cohort_digest if row.charged_here else "",
            rho=row.terms.cost.rho,
        )
