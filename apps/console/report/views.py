"""Auditors' reports: of a job, a campaign, a period. A selector and a template; no event.

Every member may read what the events page shows them; an operator reads the consortium's log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.audit.reports.assemble import campaign_report, job_report, period_report
from apps.audit.reports.values import Report
from apps.benchmarks.selectors.campaigns import campaign_get_for
from apps.common.requests import OperatorRequest, OrganizationRequest
from apps.console.report.selector import report_page
from apps.console.shared.access import operators_only
from apps.training.selectors.jobs import job_get_for
from federated.errors import InvalidInput

DATE = re.compile(r"2\d{3}-\d{2}-\d{2}")


@require_safe
@never_cache
def job(request: OrganizationRequest, job_id: UUID) -> HttpResponse:
    slug = request.organization.slug
    found = job_get_for(organization=slug, job_id=job_id)
    return _shown(request, job_report(organization=slug, job=found), {"section": "events"})


@require_safe
@never_cache
def campaign(request: OrganizationRequest, campaign_id: UUID) -> HttpResponse:
    slug = request.organization.slug
    found = campaign_get_for(organization=slug, campaign_id=campaign_id)
    report = campaign_report(organization=slug, campaign=found)
    return _shown(request, report, {"section": "events"})


@require_safe
@never_cache
def period(request: OrganizationRequest) -> HttpResponse:
    """Of ``from`` to before ``to`` (dates, UTC); the last whole month where neither is given."""
    return _period(request, request.organization.slug, "events")


@require_safe
@login_required
@never_cache
def operator_period(request: OperatorRequest) -> HttpResponse:
    operators_only(request)
    return _period(request, None, "operator_events")


def _period(request: OperatorRequest, organization: str | None, section: str) -> HttpResponse:
    start, end = _last_month(timezone.now())
    given = {
        "from": request.GET.get("from", f"{start:%Y-%m-%d}"),
        "to": request.GET.get("to", f"{end:%Y-%m-%d}"),
    }
    context: dict[str, Any] = {"section": section, "given": given}
    try:
        start, end = period_read(given)
    except InvalidInput as error:
        context |= {"error": error.message, "operator": organization is None}
        return render(request, "console/report/report.html", context, status=error.status)
    report = period_report(organization=organization, start=start, end=end)
    return _shown(request, report, context)


def period_read(given: Mapping[str, str]) -> tuple[datetime, datetime]:
    """[from, to) at midnight UTC. Raises InvalidInput naming the field at fault."""
    found = {}
    for name in ("from", "to"):
        text = given[name].strip()
        try:
            if not DATE.fullmatch(text):
                raise ValueError(text)
            found[name] = datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError as error:
            raise InvalidInput(
                f"{name}: {text[:40]!r} is no date from 2000 on; write it as 2026-01-31", field=name
            ) from error
    if found["from"] >= found["to"]:
        raise InvalidInput(
            f"to: {given['to']} is not after {given['from']}; the day given is not in the period",
            field="to",
        )
    return found["from"], found["to"]


def _last_month(now: datetime) -> tuple[datetime, datetime]:
    end = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (end - timedelta(days=1)).replace(day=1), end


def _shown(request: OperatorRequest, report: Report, context: Mapping[str, Any]) -> HttpResponse:
    operator = not report.organization
    page = report_page(report, name=request.organization.name if request.organization else "")
    root = "/" if operator else f"/o/{report.organization}/"
    shown = {**context, "page": page, "operator": operator}
    shown["address"] = request.build_absolute_uri()
    shown["api"] = f"{request.scheme}://{request.get_host()}{root}api/"
    return render(request, "console/report/report.html", shown)
