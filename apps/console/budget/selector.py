"""An organization's budget: accounts over time, what was bought, what a job would leave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q
from django.utils import timezone

from apps.attempts.models import Attempt
from apps.benchmarks.models import Campaign
from apps.benchmarks.selectors.campaigns import campaigns_of
from apps.budgets import outlook
from apps.budgets.models import Account, AllotmentChange, AllotmentRequest, Charge, LedgerReport
from apps.common.roles import Role
from apps.console.budget import page as pages
from apps.console.shared.accounts import account_row
from apps.console.shared.charts import StepChart, time_chart
from apps.console.shared.words import TERMS, job_title
from apps.organizations.models import Organization
from apps.training.models import Job
from apps.training.selectors.jobs import jobs_of
from federated.protocol.agreement import ledger_id
from federated.protocol.cost import mechanism_of

#: The rules of composition in words, in the order of the page.
RULES = {
    "zcdp": "zCDP, the ledger's",
    "pld": "privacy loss distribution",
    "rdp": "Rényi (RDP)",
    "advanced": "advanced composition",
    "basic": "basic composition",
}
PURCHASES_SHOWN = 50
CHANGES_SHOWN = 20
SHORTEST_WINDOW = timedelta(seconds=10)


def budget_page(*, organization: Organization, role: str) -> pages.BudgetPage:
    """The mirrored ledger as its members see it; call under the organization's role."""
    report = LedgerReport.objects.order_by("-sequence").first()
    charges: dict[tuple[str, str], list[Charge]] = defaultdict(list)
    for charge in Charge.objects.order_by("at"):
        charges[charge.dataset, charge.unit].append(charge)
    jobs = _jobs(organization.slug, {c.job_id for made in charges.values() for c in made})
    campaigns = _campaigns(organization.slug)
    now = timezone.now()
    return pages.BudgetPage(
        name=organization.name,
        slug=organization.slug,
        accounts=[
            _account(account, charges[account.dataset, account.unit], jobs, campaigns, now)
            for account in Account.objects.all()
        ],
        differences=[_difference(one) for one in (report.differences if report else [])],
        sequence=None if report is None else report.sequence,
        reported_at=None if report is None else report.created_at,
        may_ask=role == Role.ADMIN,
    )


def _jobs(slug: str, ids: Iterable[UUID]) -> dict[UUID, tuple[Job, int]]:
    """``{id: (job, rounds released)}`` of those that the organization takes part in."""
    released = Count("attempts", filter=Q(attempts__state=Attempt.State.RELEASED))
    found = jobs_of(slug).filter(pk__in=list(ids)).annotate(released=released)
    return {job.pk: (job, job.released) for job in found}


def _account(
    account: Account,
    charges: list[Charge],
    jobs: dict[UUID, tuple[Job, int]],
    campaigns: dict[UUID, Campaign],
    now: datetime,
) -> pages.BudgetAccount:
    made = outlook.charges_of_period(account, charges, now)
    rules = outlook.composition(account, made)
    ever = outlook.spent_ever(charges)
    by_job: dict[UUID, list[Charge]] = defaultdict(list)
    for charge in charges:
        by_job[charge.job_id].append(charge)
    purchases = [
        _purchase(account, of_job, jobs.get(job), campaigns.get(job))
        for job, of_job in by_job.items()
    ]
    purchases.sort(key=lambda row: row.at, reverse=True)
    return pages.BudgetAccount(
        account=account_row(account),
        chart=_chart(account, made, now),
        rules=[(RULES[name], rules[name]) for name in RULES],
        lifetime=ever.epsilon(account.allotted_delta),
        forecast=_forecast(account, made, now),
        purchases=purchases[:PURCHASES_SHOWN],
        **_allotments(account),
    )


def _allotments(account: Account) -> dict[str, Any]:
    """What was asked and how the allotment changed, for BudgetAccount."""
    of_account = {"dataset": account.dataset, "unit": account.unit}
    newest = AllotmentRequest.objects.filter(**of_account).first()
    changes = AllotmentChange.objects.filter(**of_account)[:CHANGES_SHOWN]
    states = AllotmentRequest.State
    open_one = newest is not None and newest.state in (states.PENDING, states.WAITING)
    declined = newest is not None and newest.state == states.DECLINED
    return {
        "request": _request(newest) if newest is not None and open_one else None,
        "declined": newest.detail if newest is not None and declined else "",
        "history": [_change(row.message) for row in changes],
    }


def _request(row: AllotmentRequest) -> pages.RequestRow:
    return pages.RequestRow(
        id=str(row.pk),
        waits=row.state == AllotmentRequest.State.WAITING,
        moved=_moved(row.before, row.message["allotment"]),
        reason=row.message["reason"],
        by=row.message["requested_by"],
        at=row.created_at,
    )


def _change(message: dict[str, Any]) -> pages.AllotmentRow:
    return pages.AllotmentRow(
        at=_moment(message["at"]),
        moved=_moved(message["before"] or {}, message["after"]),
        reason=message["reason"],
        by=message["by"],
    )


def _moved(before: dict[str, Any], after: dict[str, Any]) -> str:
    """The terms that differ, ``what from → to``; without from for a first grant."""
    return ", ".join(
        " ".join([words, *([f"{_plain(before[name])} →"] if before.get(name) else []), new])
        for name, words in TERMS.items()
        if before.get(name) != after[name]
        for new in [_plain(after[name])]
    )


def _plain(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _chart(account: Account, made: list[outlook.Made], now: datetime) -> StepChart | None:
    points = outlook.composed(account, made)
    if not points:
        return None
    start, end = _window(account, points[0].at, now)
    return time_chart(
        [
            ("zCDP, the ledger's", [(point.at, point.zcdp) for point in points], 1),
            ("privacy loss distribution", [(point.at, point.pld) for point in points], 2),
        ],
        start=start,
        end=end,
        now=now,
        target=account.allotted_epsilon,
    )


def _window(account: Account, first: datetime, now: datetime) -> tuple[datetime, datetime]:
    """The whole period once a good part of it has charges; before that, from the first one on."""
    start, end = outlook.period_of(account, now)
    history = max(now - first, SHORTEST_WINDOW)
    if start is not None and end is not None and history > (end - start) / 4:
        return start, end
    return first - history / 12, first + history * 13 / 12


def _forecast(account: Account, made: list[outlook.Made], now: datetime) -> str:
    if not made:
        return "Nothing is spent in this period."
    if now - made[0].at < outlook.LEAST_HISTORY:
        return "Too little time has passed since the first charge to tell a rate."
    end = outlook.used_up_at(account, made, now)
    if end is not None:
        return f"At this rate the {account.period}'s budget ends on {end:%B %-d, %Y}."
    _, over = outlook.period_of(account, now)
    if over is None:
        return "At this rate the budget outlasts a hundred years."
    return f"At this rate the budget lasts until the {account.period} ends on {over:%B %-d, %Y}."


def _purchase(
    account: Account,
    charges: list[Charge],
    known: tuple[Job, int] | None,
    campaign: Campaign | None,
) -> pages.PurchaseRow:
    states = [charge.state for charge in charges]
    job, released = known or (None, 0)
    return pages.PurchaseRow(
        job_id=str(charges[0].job_id),
        title=_title(job, campaign),
        proposer=job.proposer if job else campaign.proposer if campaign else "",
        campaign_id="" if campaign is None else str(campaign.pk),
        committed=states.count("committed"),
        reserved=states.count("reserved"),
        returned=states.count("returned"),
        epsilon=outlook.spent_ever(charges).epsilon(account.allotted_delta),
        released=released,
        model_digest=job.model_digest if job is not None and released else "",
        at=_moment(charges[-1].at),
        mechanism=_mechanism(job, campaign),
    )


def _mechanism(job: Job | None, campaign: Campaign | None) -> str:
    if campaign is not None:
        noise = campaign.wire.noise
        name = "Laplace" if noise.kind == "laplace" else "Gaussian"
        runs = f"{campaign.wire.runs} run{'' if campaign.wire.runs == 1 else 's'}"
        return f"discrete {name}, epsilon {noise.epsilon:g} a run, {runs}"
    return "" if job is None else mechanism_of(job.wire)


def _title(job: Job | None, campaign: Campaign | None) -> str:
    if campaign is not None:
        return f"Benchmark: {campaign.title}"
    return "" if job is None else job_title(job.wire)


def _campaigns(slug: str) -> dict[UUID, Campaign]:
    """The organization's campaigns by the name that its ledger keeps their present spec under."""
    return {UUID(ledger_id(found.wire)): found for found in campaigns_of(slug)}


def _difference(one: dict[str, Any]) -> pages.DifferenceRow:
    where = f"round {one['round']}"
    if one["attempt"] > 1:
        where += f", attempt {one['attempt']}"
    return pages.DifferenceRow(
        kind=one["kind"], job_id=one["job_id"], where=where, detail=one["detail"]
    )
