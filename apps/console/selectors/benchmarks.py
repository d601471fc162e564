"""Campaigns for people: an organization's, and the operator's."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from apps.accounts.models import Membership
from apps.benchmarks.drafts import KNOWN
from apps.benchmarks.models import Campaign, CampaignParticipant, Run
from apps.benchmarks.selectors.campaigns import campaign_get_for, campaigns_of, run_last
from apps.benchmarks.selectors.exports import releases_of
from apps.benchmarks.services.campaigns import OPERATOR
from apps.common.coordinator import as_coordinator
from apps.console import benchmark_pages as pages
from apps.console.box_charts import box_chart, history_chart
from apps.console.selectors.events import log_note, logged_rows
from apps.console.selectors.job import ACTING
from apps.organizations.models import Organization
from apps.provenance import selectors as provenance
from apps.schedules.selectors import schedules
from apps.schedules.ticks import TICKS
from federated.wire.campaign import MetricRelease

CAMPAIGNS_SHOWN = 100
EVENTS_SHOWN = 12
RUNS_SHOWN = 20
NAMED_MOST = 12


def benchmarks_page(*, organization: Organization) -> pages.BenchmarksPage:
    """Call under the organization's role."""
    found = campaigns_of(organization.slug)[:CAMPAIGNS_SHOWN]
    return pages.BenchmarksPage(
        name=organization.name,
        slug=organization.slug,
        campaigns=[campaign_row(campaign) for campaign in found],
    )


def campaign_row(campaign: Campaign) -> pages.CampaignRow:
    spec, last = campaign.wire, run_last(campaign)
    released = campaign.runs.filter(state=Run.State.RELEASED).order_by("-number").first()
    return pages.CampaignRow(
        id=str(campaign.pk),
        title=campaign.title,
        creator="the consortium" if campaign.creator == OPERATOR else campaign.creator,
        state=campaign.state if last is None or not last.going else last.state,
        reason=campaign.reason,
        metrics=[f"{metric.key} ({metric.unit})" for metric in spec.metrics],
        epsilon=spec.noise.epsilon,
        schedule=spec.schedule,
        runs=spec.runs,
        runs_opened=0 if last is None else last.number,
        next_run_at=campaign.next_run_at,
        last_release=None if released is None else released.released_at,
    )


def campaign_page(*, membership: Membership, campaign_id: Any) -> pages.CampaignPage:
    """A campaign that the member's organization may take part in. Raises NotFound."""
    slug = membership.organization.slug
    campaign = campaign_get_for(organization=slug, campaign_id=campaign_id)
    spec = campaign.wire
    parts = list(campaign.participants.all())
    own = next(part for part in parts if part.organization == slug)
    virtual = _virtual([part.organization for part in parts])
    runs = list(campaign.runs.defer("approvals", "product", "spec").order_by("-number"))
    latest = next((run for run in runs if run.state == Run.State.RELEASED), None)
    with as_coordinator():
        rows = logged_rows(provenance.events(subject=("campaign", campaign.pk))[:EVENTS_SHOWN])
    pending = own.state != CampaignParticipant.State.APPROVED and not campaign.ended
    return pages.CampaignPage(
        row=campaign_row(campaign),
        slug=slug,
        delta=spec.noise.delta,
        noise=spec.noise.kind,
        dataset=spec.dataset,
        minimum_cohort=spec.minimum_cohort,
        run_seconds=spec.run_seconds,
        spec_digest=campaign.spec_digest,
        approved=sum(p.state == "approved" for p in parts),
        invited=len(parts),
        virtual=len(virtual),
        own_state=own.state,
        own_reason=own.reason,
        asked=own.endorsed_by is not None and own.state == "pending",
        may_approve=pending and own.endorsed_by is None and membership.role in ACTING,
        declined=[(p.organization, p.reason) for p in parts if p.state == "declined"][:NAMED_MOST],
        latest=None if latest is None else _release(latest, virtual),
        history=_history(campaign),
        runs=[_run(run) for run in runs[:RUNS_SHOWN]],
        events=rows,
        log_note=log_note(),
    )


def _virtual(slugs: list[str]) -> set[str]:
    """Those of the participants that are simulated."""
    found = Organization.objects.filter(slug__in=slugs, virtual=True)
    return set(found.values_list("slug", flat=True))


def _run(run: Run) -> pages.RunRow:
    return pages.RunRow(
        number=run.number,
        state=run.state,
        reason=run.reason,
        members=len(run.members),
        opened_at=run.opened_at,
        deadline=run.deadline if run.going else None,
        released_at=run.released_at,
        expired_at=run.expired_at,
    )


def _release(run: Run, virtual: set[str]) -> pages.ReleaseRow:
    release = run.wire_release
    assert release is not None
    return pages.ReleaseRow(
        run=run.number,
        count=release.count,
        virtual=len(virtual & set(run.members)),
        released_at=run.released_at,
        metrics=[_metric(run, found) for found in release.metrics],
    )


def _metric(run: Run, found: MetricRelease) -> pages.MetricPanel:
    metric = run.wire.metric(found.key)
    assert metric is not None
    statistics = {str(name): estimate for name, estimate in found.statistics.items()}
    log = metric.grid.kind == "log"
    std = statistics.get("std")
    return pages.MetricPanel(
        key=found.key,
        unit=metric.unit,
        better=metric.better,
        lower=metric.lower,
        upper=metric.upper,
        illustrative=found.illustrative,
        chart=box_chart(
            statistics, lower=metric.lower, upper=metric.upper, log=log, unit=metric.unit
        ),
        std=None if std is None else (std.value, std.lower, std.upper),
    )


def _history(campaign: Campaign) -> list[pages.HistoryPanel]:
    """The median (else the mean) of each metric of the present spec, over all its releases."""
    releases = releases_of(campaign)
    panels = []
    for metric in campaign.wire.metrics:
        name = "median" if "median" in metric.statistics else "mean"
        values = []
        for run in releases:
            release = run.wire_release
            found = next((m for m in release.metrics if m.key == metric.key), None)  # type: ignore[union-attr]
            if found is not None and name in found.statistics:
                values.append((run.number, found.statistics[name]))  # type: ignore[index]
        what = f"{name} of {metric.key} in {metric.unit}"
        chart = history_chart(
            values,
            lower=metric.lower,
            upper=metric.upper,
            log=metric.grid.kind == "log",
            what=what,
        )
        if chart is not None:
            panels.append(pages.HistoryPanel(what=what, chart=chart))
    return panels


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
                seconds=row.interval.every,
                enabled=row.enabled,
                last_run_at=row.last_run_at,
                sent=row.total_run_count,
            )
            for row in schedules().order_by("name")
        ],
        metrics=[(key, unit, lower, upper) for key, (unit, lower, upper, _, _) in KNOWN.items()],
        now=timezone.now(),
    )
