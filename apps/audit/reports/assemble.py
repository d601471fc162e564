"""Reports of a job, a campaign or a period: the logs' events, with what the rows add to them.

Call under the organization's role (an operator's as the coordinator): its row policies decide which
jobs and campaigns there are. What is then read of those, it is read of as the coordinator.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db.models import Q
from django.utils import timezone

from apps.audit.reports.charges import charges_own, reservations
from apps.audit.reports.cover import heads_read
from apps.audit.reports.decisions import decisions, failures
from apps.audit.reports.ledger import OwnLedger
from apps.audit.reports.lines import CHANGES, log_read, verdicts_read
from apps.audit.reports.releases import releases
from apps.audit.reports.specs import Specs
from apps.audit.reports.values import Line, Report
from apps.audit.selectors import events_visible
from apps.benchmarks.models import Campaign
from apps.provenance.selectors import anchoring_state
from apps.training.models import Job
from federated.site.ledger_report import stamp

#: What the consortium's log tells to every member of it.
TOLD_TO_ALL = ("key_epoch", "witness", "dictionary")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """The subject of a report. ``period`` is [start, end)."""

    kind: Literal["job", "campaign", "period"]
    organization: str | None
    consortium: Q
    own: Q
    period: tuple[datetime, datetime] | None = None


def job_report(*, organization: str, job: Job) -> Report:
    """Report on a job that the organization takes part in."""
    of_job = Q(subject_kind="job", subject_id=str(job.pk))
    key = Q(subject_kind="key_epoch", subject_id=job.key_epoch)
    scope = _Scope(kind="job", organization=organization, consortium=of_job | key, own=of_job)
    return _assemble(scope)


def campaign_report(*, organization: str, campaign: Campaign) -> Report:
    """Report on a campaign that the organization is invited to, with all its runs."""
    runs = campaign.attempts.order_by()
    keys = {*runs.values_list("spec__key_epoch", flat=True), campaign.key_epoch}
    of_campaign = Q(subject_kind="campaign", subject_id=str(campaign.pk))
    scope = _Scope(
        kind="campaign",
        organization=organization,
        consortium=of_campaign | Q(subject_kind="key_epoch", subject_id__in=keys),
        own=of_campaign,
    )
    return _assemble(scope)


def period_report(*, organization: str | None, start: datetime, end: datetime) -> Report:
    """Report on events from ``start`` to before ``end``; without an organization for an operator,
    who sees the whole of the consortium's log and no organization's own."""
    within = Q(created_at__gte=start, created_at__lt=end)
    visible = events_visible(organization=organization, log="consortium")
    if organization is not None:
        visible |= Q(subject_kind__in=TOLD_TO_ALL)
    scope = _Scope(
        kind="period",
        organization=organization,
        consortium=visible & within,
        own=within,
        period=(start, end),
    )
    return _assemble(scope)


def _assemble(scope: _Scope) -> Report:
    organization = scope.organization
    heads, anchor = heads_read(organization)
    reads = [log_read(scope.consortium, organization=organization, log="consortium")]
    if organization is not None:
        reads.append(log_read(scope.own, organization=organization, log="own"))
    lines = [line for read in reads for line in read.lines]
    specs = Specs.read(lines, organization)
    ledger = None if organization is None else OwnLedger(organization)
    released, disagreeing = releases(lines, specs)
    start, end = scope.period or (None, None)
    cut_at = min((read.cut_at for read in reads if read.cut_at), default=None)
    return Report(
        kind=scope.kind,
        organization=organization or "",
        made_at=timezone.now(),
        heads=heads,
        anchor=anchor,
        anchoring=anchoring_state(),
        start=start,
        end=end,
        cut_at=cut_at,
        jobs=specs.jobs,
        campaigns=specs.campaigns,
        decisions=decisions(lines, specs),
        reservations=reservations(lines, specs, ledger),
        releases=released,
        failures=failures([*lines, *verdicts_read(disagreeing)]),
        changes=[line for line in lines if line.body.tag in CHANGES],
        counts=[count for read in reads for count in read.counts],
        **_of_ledger(scope, ledger, lines, specs, cut_at),
    )


def _of_ledger(
    scope: _Scope,
    ledger: OwnLedger | None,
    lines: list[Line],
    specs: Specs,
    cut_at: datetime | None,
) -> dict[str, Any]:
    """Adds the charges of the organization's own ledger; none for an operator.

    Past a cut a charge has no receipt among the lines, which says nothing: it is left out.
    """
    if ledger is None:
        return {"charges": [], "differences": [], "ledger_report": "", "reported_at": None}
    period = None if scope.period is None else (stamp(scope.period[0]), stamp(scope.period[1]))
    charges = charges_own(lines, specs, ledger, period)
    return {
        "charges": [one for one in charges if one.line or not cut_at or one.at < cut_at],
        "differences": ledger.differences(None if period else specs.ledger_ids()),
        "ledger_report": ledger.report_digest,
        "reported_at": ledger.reported_at,
    }
