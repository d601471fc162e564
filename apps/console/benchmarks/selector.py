"""The campaigns that an organization may take part in, and one of them."""

from __future__ import annotations

from typing import Any

from apps.accounts.models import Membership
from apps.attempts.models import Attempt, Participant
from apps.benchmarks.models import Campaign
from apps.benchmarks.selectors.campaigns import campaign_get_for, campaigns_of, state_of
from apps.benchmarks.selectors.exports import releases_of
from apps.common.coordinator import as_coordinator
from apps.console.benchmarks import page as pages
from apps.console.shared.access import ACTING
from apps.console.shared.box_charts import box_chart, history_chart
from apps.console.shared.campaigns import CAMPAIGNS_SHOWN, campaign_row
from apps.console.shared.events import log_note, logged_rows
from apps.organizations.models import Organization
from apps.provenance import selectors as provenance
from federated.wire.campaign import MetricRelease, Statistic

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


def campaign_page(*, membership: Membership, campaign_id: Any) -> pages.CampaignPage:
    """A campaign that the member's organization may take part in. Raises NotFound."""
    slug = membership.organization.slug
    campaign = campaign_get_for(organization=slug, campaign_id=campaign_id)
    spec = campaign.wire
    parts = list(campaign.participants.all())
    own = next(part for part in parts if part.organization == slug)
    virtual = _virtual([part.organization for part in parts])
    runs = list(
        campaign.attempts.select_related("agreement")
        .defer("approvals", "product", "spec")
        .order_by("-number")
    )
    latest = next((run for run in runs if run.state == Attempt.State.RELEASED), None)
    with as_coordinator():
        rows = logged_rows(provenance.events(subject=("campaign", campaign.pk))[:EVENTS_SHOWN])
    pending = own.state != Participant.State.APPROVED and not campaign.ended
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


def _run(run: Attempt) -> pages.RunRow:
    return pages.RunRow(
        number=run.number,
        state=state_of(run),
        reason=run.reason,
        members=len(run.members),
        opened_at=run.opened_at,
        deadline=run.deadline if run.open else None,
        released_at=run.released_at,
        expired_at=run.expired_at,
    )


def _release(run: Attempt, virtual: set[str]) -> pages.ReleaseRow:
    release = run.wire_release
    return pages.ReleaseRow(
        run=run.number,
        count=release.count,
        virtual=len(virtual & set(run.members)),
        released_at=run.released_at,
        metrics=[_metric(run, found) for found in release.metrics],
    )


def _metric(run: Attempt, found: MetricRelease) -> pages.MetricPanel:
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
        name: Statistic = "median" if "median" in metric.statistics else "mean"
        values = []
        for run in releases:
            release = run.wire_release
            metrics = () if release is None else release.metrics
            found = next((m for m in metrics if m.key == metric.key), None)
            estimate = None if found is None else found.statistics.get(name)
            if estimate is not None:
                values.append((run.number, estimate))
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
