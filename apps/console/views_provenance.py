"""Views of the log and of what proves it: a selector and a template, nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.audit.search import FIELDS, event_evidence, events_search
from apps.audit.verification import file_verify, job_verify
from apps.common.uploads import UPLOAD_MOST
from apps.common.urls import organization_url
from apps.console.selectors.events import logged_lines
from apps.federation.selectors.jobs import job_get_for
from federated.errors import Conflict, InvalidInput, NotFound
from federated.provenance.verify import Report

LOGS = ("own", "consortium")


@require_safe
@never_cache
def events(request: Any) -> HttpResponse:
    """Search one of the organization's two logs; keyset pages, newest first."""
    slug, log = request.organization.slug, request.GET.get("log", "own")
    given = {name: request.GET.get(name, "") for name in FIELDS}
    context: dict[str, Any] = {"section": "events", "log": log, "given": given}
    status = 200
    try:
        if log not in LOGS:
            raise InvalidInput(f"log: allowed are {', '.join(LOGS)}")
        page, found = events_search(organization=slug, log=log, given=request.GET.dict())
        rows = zip(logged_lines(found), found, strict=True)
        context["rows"] = [(row, organization_url(slug, "event", log, e.id)) for row, e in rows]
        if page.next_cursor:
            query = request.GET.copy()
            query["after"] = page.next_cursor
            context["older"] = query.urlencode()
    except InvalidInput as error:
        context["error"] = error.message
        status = error.status
    return render(request, "console/events.html", context, status=status)


@require_safe
@never_cache
def event(request: Any, log: str, event_id: UUID) -> HttpResponse:
    """One event, and its proof as a path to the root."""
    if log not in LOGS:
        raise NotFound("There is no such log; the logs are own and consortium.")
    found = event_evidence(organization=request.organization.slug, log=log, event_id=event_id)
    (row,) = logged_lines([found.logged])
    steps = [
        {"is_left": step.is_left, "sibling": step.sibling.hex(), "parent": step.parent.hex()}
        for step in found.path
    ]
    context = {"section": "events", "log": log, "row": row, "found": found, "steps": steps[::-1]}
    if found.proof is not None:
        context["leaf"] = found.proof.leaf_hash.hex()
    return render(request, "console/event.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def verify(request: Any) -> HttpResponse:
    """Check an uploaded bundle; it is read, told about and forgotten."""
    context: dict[str, Any] = {"section": "verify", "most": UPLOAD_MOST}
    status = 200
    if request.method == "POST":
        try:
            uploaded = request.FILES.get("bundle")
            if uploaded is None:
                raise InvalidInput(f"bundle: choose a file of at most {UPLOAD_MOST} bytes")
            context["file"] = uploaded.name
            context |= _shown(
                file_verify(
                    path=Path(uploaded.temporary_file_path()),
                    organization=request.organization.slug,
                )
            )
        except (Conflict, InvalidInput) as error:
            context["error"] = error.message
            status = error.status
    return render(request, "console/verify.html", context, status=status)


@require_POST
@never_cache
def job_verified(request: Any, job_id: UUID) -> HttpResponse:
    slug = request.organization.slug
    found = job_get_for(organization=slug, job_id=job_id)
    context: dict[str, Any] = {"section": "verify", "most": UPLOAD_MOST, "job": str(found.pk)}
    status = 200
    try:
        context |= _shown(job_verify(job=found, organization=slug))
    except (Conflict, InvalidInput) as error:
        context["error"] = error.message
        status = error.status
    return render(request, "console/verify.html", context, status=status)


def _shown(report: Report) -> dict[str, Any]:
    skipped = sum(check.status == "skipped" for check in report.checks)
    return {"report": report, "skipped": skipped}
