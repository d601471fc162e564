"""A job's page, and what a person answers to a proposed job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.attempts.services.answers import endorse
from apps.common.actor import request_actor
from apps.common.urls import organization_url
from apps.console.job.selector import job_page, page_fingerprint
from apps.console.shared.access import acting_only
from apps.console.shared.live import live_answer
from apps.training.models import Job
from apps.training.selectors.jobs import job_get_for
from apps.training.services.jobs import (
    job_cancel_by_person,
    job_decline_by_person,
)
from federated.errors import Conflict, InvalidInput

REASON_MOST = 500


@require_safe
@never_cache
def job(request: Any, job_id: UUID) -> HttpResponse:
    page = job_page(membership=request.membership, job_id=job_id)
    context = {"job": page, "seen": page_fingerprint(page)}
    return render(request, "console/job/job.html", context)


@require_safe
@never_cache
def job_live(request: Any, job_id: UUID) -> HttpResponse:
    """What changes while the job runs.

    The buttons come along only when the state that they depend on has changed, so that an open
    question on the page is not closed under the reader.
    """
    page = job_page(membership=request.membership, job_id=job_id)
    seen = page_fingerprint(page)
    context = {"job": page, "seen": seen, "swap": request.GET.get("state") != page.state}
    return live_answer(request, "console/job/live.html", context, seen=seen, over=page.over)


@require_POST
def job_approve(request: Any, job_id: UUID) -> HttpResponse:
    def act(row: Job) -> str:
        endorse(row, organization=request.organization.slug, actor=request_actor(request))
        return "Approved. The site checks the job, signs and reserves its cost next."

    return _act(request, job_id, act)


@require_POST
def job_decline(request: Any, job_id: UUID) -> HttpResponse:
    def act(row: Job) -> str:
        job_decline_by_person(
            job=row,
            organization=request.organization.slug,
            reason=_reason(request),
            actor=request_actor(request),
        )
        return "Declined. The job has ended."

    return _act(request, job_id, act)


@require_POST
def job_cancel(request: Any, job_id: UUID) -> HttpResponse:
    def act(row: Job) -> str:
        job_cancel_by_person(
            job=row,
            organization=request.organization.slug,
            reason=_reason(request),
            actor=request_actor(request),
        )
        return "Cancelled. Nothing more is charged."

    return _act(request, job_id, act)


def _act(request: Any, job_id: UUID, act: Callable[[Job], str]) -> HttpResponse:
    """Do something to a job and show it again, with what was done or why not."""
    found = job_get_for(organization=request.organization.slug, job_id=job_id)
    acting_only(request)
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
