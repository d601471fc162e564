"""A job's page, and what a person answers to a proposed job."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.attempts.services.answers import endorse
from apps.common.actor import request_actor
from apps.common.requests import OrganizationRequest
from apps.common.urls import organization_url
from apps.console.job.selector import job_page, page_fingerprint
from apps.console.shared.access import acting_only
from apps.console.shared.live import live_answer
from apps.training.selectors.jobs import job_get_for
from apps.training.services.jobs import (
    job_cancel_by_person,
    job_decline_by_person,
)
from federated.errors import Conflict, InvalidInput

REASON_MOST = 500


@require_safe
@never_cache
def job(request: OrganizationRequest, job_id: UUID) -> HttpResponse:
    page = job_page(membership=request.membership, job_id=job_id)
    context = {"job": page, "seen": page_fingerprint(page)}
    return render(request, "console/job/job.html", context)


@require_safe
@never_cache
def job_live(request: OrganizationRequest, job_id: UUID) -> HttpResponse:
    """What changes while the job runs.

    The buttons come along only when the state that they depend on has changed, so that an open
    question on the page is not closed under the reader.
    """
    page = job_page(membership=request.membership, job_id=job_id)
    seen = page_fingerprint(page)
    context = {"job": page, "seen": seen, "swap": request.GET.get("state") != page.state}
    return live_answer(request, "console/job/live.html", context, seen=seen, over=page.over)


@require_POST
def job_approve(request: OrganizationRequest, job_id: UUID) -> HttpResponse:
    said = "Approved. The site checks the job, signs and reserves its cost next."
    return _act(request, job_id, endorse, said)


@require_POST
def job_decline(request: OrganizationRequest, job_id: UUID) -> HttpResponse:
    return _act(request, job_id, job_decline_by_person, "Declined. The job has ended.", why=True)


@require_POST
def job_cancel(request: OrganizationRequest, job_id: UUID) -> HttpResponse:
    said = "Cancelled. Nothing more is charged."
    return _act(request, job_id, job_cancel_by_person, said, why=True)


def _act(
    request: OrganizationRequest,
    job_id: UUID,
    service: Callable[..., object],
    said: str,
    *,
    why: bool = False,
) -> HttpResponse:
    """Act on a job, with the form's reason where it takes one; show it with what was done or not.

    Raises NotFound, and Forbidden for a member who may only read.
    """
    slug = request.organization.slug
    found = job_get_for(organization=slug, job_id=job_id)
    acting_only(request)
    try:
        reason = {"reason": _reason(request)} if why else {}
        service(found, organization=slug, actor=request_actor(request), **reason)
        messages.success(request, said)
    except (Conflict, InvalidInput) as error:
        messages.error(request, error.message)
    return redirect(organization_url(slug, "job", found.pk))


def _reason(request: HttpRequest) -> str:
    reason = " ".join(request.POST.get("reason", "").split())
    if not 1 <= len(reason) <= REASON_MOST:
        raise InvalidInput(f"reason: 1 to {REASON_MOST} characters are needed", field="reason")
    return reason
