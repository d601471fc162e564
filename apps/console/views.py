"""Thin views: a selector and a template to read, one service to write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.common.actor import request_actor
from apps.common.urls import organization_url
from apps.console.selectors.home import home_page
from apps.console.selectors.job import ACTING, job_page, page_fingerprint
from apps.console.selectors.operator import operator_page
from federated.errors import Conflict, Forbidden, InvalidInput, NotFound

#: htmx stops polling at this answer.
STOP_POLLING = 286


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
