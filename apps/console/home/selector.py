"""An organization's home: jobs, budget, sites, latest events."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Count, Q

from apps.attempts.models import Attempt
from apps.budgets.models import Account, LedgerReport
from apps.console.home import page as pages
from apps.console.shared.accounts import account_row
from apps.console.shared.events import log_note, logged_rows
from apps.console.shared.sites import site_row
from apps.console.shared.words import job_title
from apps.organizations.models import Organization
from apps.provenance import selectors as provenance
from apps.training.models import Job
from apps.training.selectors.jobs import epsilons, jobs_of

JOBS_SHOWN = 50
EVENTS_SHOWN = 12


def home_page(*, organization: Organization) -> pages.HomePage:
    """What its members see of an organization; call under the organization's role."""
    found = list(jobs_of(organization.slug).order_by("-created_at")[:JOBS_SHOWN])
    counts = _round_counts(found)
    report = LedgerReport.objects.order_by("-sequence").first()
    return pages.HomePage(
        name=organization.name,
        slug=organization.slug,
        state=organization.state,
        sites=[site_row(site) for site in organization.sites.prefetch_related("certificates")],
        accounts=[account_row(account) for account in Account.objects.all()],
        reported_at=None if report is None else report.created_at,
        jobs=[_job_row(job, *counts.get(job.pk, (0, 0))) for job in found],
        events=logged_rows(provenance.events()[:EVENTS_SHOWN]),
        log_note=log_note(organization.slug),
    )


def _round_counts(jobs: Sequence[Job]) -> dict[object, tuple[int, int]]:
    """``{job: (rounds released, attempts charged)}``."""
    rows = (
        Attempt.objects.filter(agreement__in=[job.pk for job in jobs])
        .values("agreement_id")
        .annotate(
            released=Count("pk", filter=Q(state=Attempt.State.RELEASED)),
            charged=Count("pk", filter=Q(charged_at__isnull=False)),
        )
        .order_by()
    )
    return {row["agreement_id"]: (row["released"], row["charged"]) for row in rows}


def _job_row(job: Job, released: int, charged: int) -> pages.JobRow:
    spec = job.wire
    return pages.JobRow(
        id=str(job.pk),
        title=job_title(spec),
        proposer=job.proposer,
        state=job.state,
        reason=job.reason,
        rounds_done=released,
        rounds=spec.strategy.rounds,
        epsilon_spent=epsilons(spec, charged)["coordinator"],
        epsilon_target=spec.privacy.epsilon,
        created_at=job.created_at,
    )
