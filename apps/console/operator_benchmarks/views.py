"""The operator's campaigns and schedules: shown, created, changed."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.benchmarks.drafts import CampaignDraft
from apps.benchmarks.services.campaigns import (
    OPERATOR,
    campaign_create,
)
from apps.common.actor import request_actor
from apps.common.requests import OperatorRequest
from apps.common.urls import root_url
from apps.console.operator_benchmarks.selector import operator_benchmarks_page
from apps.console.shared.access import operators_only
from apps.schedules.selectors import seconds_between
from apps.schedules.services import schedule_change
from federated.errors import InvalidInput, NotFound


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def operator(request: OperatorRequest) -> HttpResponse:
    """Campaigns and schedules; for everybody but operators there is nothing here."""
    operators_only(request)
    draft: dict[str, Any] = {}
    status = 200
    if request.method == "POST":
        draft = {**request.POST.dict(), "metrics": request.POST.getlist("metrics")}
        try:
            made = campaign_create(
                draft=_draft(request), creator=OPERATOR, actor=request_actor(request)
            )
        except (InvalidInput, NotFound) as error:
            messages.error(request, error.message)
            status = 422
        else:
            messages.success(request, f"{made.title}: created. It waits for approvals.")
            return redirect(root_url("operator_benchmarks"))
    context = {"page": operator_benchmarks_page(), "section": "schedules", "draft": draft}
    return render(
        request, "console/operator_benchmarks/operator_benchmarks.html", context, status=status
    )


def _draft(request: HttpRequest) -> CampaignDraft:
    """The form's fields as a draft. Raises InvalidInput naming the first at fault."""
    given: dict[str, Any] = {
        "title": " ".join(request.POST.get("title", "").split()),
        "metrics": [{"key": key} for key in request.POST.getlist("metrics")],
        "schedule": " ".join(request.POST.get("schedule", "").split()),
        "epsilon": _number(request, "epsilon"),
        "runs": _number(request, "runs", whole=True),
        "run_seconds": round((_number(request, "hours") or 0.0) * 3600),
        "minimum_cohort": _number(request, "minimum_cohort", whole=True),
    }
    if not given["metrics"]:
        raise InvalidInput("metrics: choose at least one", field="metrics")
    return CampaignDraft.parse(json.dumps({k: v for k, v in given.items() if v is not None}))


def _number(request: HttpRequest, name: str, *, whole: bool = False) -> float | int | None:
    text = request.POST.get(name, "").strip()
    if not text:
        return None
    try:
        value = int(text) if whole else float(text)
    except ValueError as error:
        kind = "a whole number" if whole else "a number"
        raise InvalidInput(f"{name}: {text[:40]!r} is not {kind}", field=name) from error
    if not -1e9 < value < 1e9:
        raise InvalidInput(f"{name}: {text[:40]!r} is out of range", field=name)
    return value


@require_POST
@login_required
def schedule(request: OperatorRequest) -> HttpResponse:
    """Change the interval of one of the portal's schedules, or pause it."""
    operators_only(request)
    name = request.POST.get("name", "")
    try:
        seconds = _number(request, "seconds", whole=True)
        changed = schedule_change(
            name=name,
            seconds=int(seconds or 0),
            enabled=request.POST.get("enabled") == "on",
            actor=request_actor(request),
        )
    except InvalidInput as error:
        messages.error(request, error.message)
    else:
        told = f"every {seconds_between(changed)} s" if changed.enabled else "paused"
        messages.success(request, f"{changed.name}: {told}.")
    return redirect(root_url("operator_benchmarks"))
