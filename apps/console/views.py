"""Thin views: a selector and a template to read, one service to write."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.budgets.services.allotments import allotment_request
from apps.common.actor import request_actor
from apps.common.roles import Role
from apps.common.urls import organization_url
from apps.console.selectors.budget import budget_page
from apps.console.selectors.home import home_page
from apps.console.selectors.job import ACTING, job_page, page_fingerprint
from apps.console.selectors.operator import operator_page
from apps.federation.models import Job
from apps.federation.selectors.jobs import job_get_for
from apps.federation.services.jobs import (
    job_approve_by_person,
    job_cancel_by_person,
    job_decline_by_person,
)
from federated.errors import Conflict, Forbidden, InvalidInput, NotFound
from federated.wire.site import AllotmentAsk

#: htmx stops polling at this answer.
STOP_POLLING = 286
REASON_MOST = 500


@require_safe
@login_required
@never_cache
def operator(request: Any) -> HttpResponse:
    """The consortium's health; for everybody but operators there is nothing here."""
    if not request.user.is_operator:
        raise NotFound("There is nothing at this address.")
    return render(
        request, "console/operator.html", {"page": operator_page(), "section": "operator"}
    )


@require_safe
@never_cache
def home(request: Any) -> HttpResponse:
    page = home_page(organization=request.organization)
    return render(request, "console/home.html", {"page": page, "section": "home"})


@require_safe
@never_cache
def budget(request: Any) -> HttpResponse:
    page = budget_page(organization=request.organization, role=request.membership.role)
    return render(request, "console/budget.html", {"page": page, "section": "budget"})


@require_POST
def budget_allot(request: Any) -> HttpResponse:
    """Ask the site for another allotment; the fields that are left empty stay as they are."""
    if request.membership.role != Role.ADMIN:
        raise Forbidden(f"Your role here is {request.membership.role}; this needs admin.")
    try:
        asked = _asked(request.POST)
        allotment_request(
            organization=request.organization.slug,
            dataset=asked.dataset,
            unit=asked.unit,
            changes=asked.changes(),
            reason=asked.reason,
            actor=request_actor(request),
        )
    except (Conflict, InvalidInput) as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "Your site decides: less holds at once, more it asks about.")
    return redirect(organization_url(request.organization.slug, "budget"))


def _asked(form: QueryDict) -> AllotmentAsk:
    """Raises InvalidInput naming the field at fault."""
    fields: dict[str, Any] = {
        name: form[name] for name in ("dataset", "unit", "period") if form.get(name)
    }
    for name, number in (("epsilon", float), ("delta", float), ("max_queries_per_tenant", int)):
        if form.get(name):
            try:
                fields[name] = number(form[name])
                math.trunc(fields[name])  # infinite and NaN are numbers to Python alone
            except (ValueError, OverflowError) as error:
                raise InvalidInput(f"{name}: {form[name][:40]!r} is not a number") from error
    return AllotmentAsk.parse(fields | {"reason": " ".join(form.get("reason", "").split())})


@require_safe
@never_cache
def job(request: Any, job_id: UUID) -> HttpResponse:
    page = job_page(membership=request.membership, job_id=job_id)
    context = {"job": page, "seen": page_fingerprint(page)}
    return render(request, "console/job.html", context)


@require_safe
@never_cache
def job_live(request: Any, job_id: UUID) -> HttpResponse:
    """What changes while the job runs: nothing (204) if the browser has it, the last time 286.

    The buttons come along only when the state that they depend on has changed, so that an open
    question on the page is not closed under the reader.
    """
    page = job_page(membership=request.membership, job_id=job_id)
    seen = page_fingerprint(page)
    if not page.over and request.GET.get("seen") == seen:
        return HttpResponse(status=204)
    context = {"job": page, "seen": seen, "swap": request.GET.get("state") != page.state}
    status = STOP_POLLING if page.over else 200
    return render(request, "console/job_live.html", context, status=status)


@require_POST
def job_approve(request: Any, job_id: UUID) -> HttpResponse:
    def act(found: Job) -> str:
        job_approve_by_person(
            job=found, organization=request.organization.slug, actor=request_actor(request)
        )
        return "Approved. The site checks the job, signs and reserves its cost next."

    return _act(request, job_id, act)


@require_POST
def job_decline(request: Any, job_id: UUID) -> HttpResponse:
    def act(found: Job) -> str:
        job_decline_by_person(
            job=found,
            organization=request.organization.slug,
            reason=_reason(request),
            actor=request_actor(request),
        )
        return "Declined. The job has ended."

    return _act(request, job_id, act)


@require_POST
def job_cancel(request: Any, job_id: UUID) -> HttpResponse:
    def act(found: Job) -> str:
        job_cancel_by_person(
            job=found,
            organization=request.organization.slug,
            reason=_reason(request),
            actor=request_actor(request),
        )
        return "Cancelled. Nothing more is charged."

    return _act(request, job_id, act)


def _act(request: Any, job_id: UUID, act: Callable[[Job], str]) -> HttpResponse:
    """Do something to a job and show it again, with what was done or why not."""
    found = job_get_for(organization=request.organization.slug, job_id=job_id)
    if request.membership.role not in ACTING:
        raise Forbidden(
            f"Your role here is {request.membership.role}; this needs {' or '.join(ACTING)}."
        )
    try:
        messages.success(request, act(found))
    except (Conflict, InvalidInput) as error:
        messages.error(request, error.message)
    return redirect(organization_url(request.organization.slug, "job", found.pk))


def _reason(request: HttpRequest) -> str:
    reason = " ".join(request.POST.get("reason", "").split())
    if not 1 <= len(reason) <= REASON_MOST:
        raise InvalidInput(f"reason: 1 to {REASON_MOST} characters are needed", field="reason")
    return reason
