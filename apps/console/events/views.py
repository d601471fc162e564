"""Searching a log's events; one event with what proves it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.audit.search import FIELDS, LOGS, event_evidence, events_search
from apps.common.requests import OperatorRequest, OrganizationRequest
from apps.common.urls import organization_url, root_url
from apps.console.shared.access import operators_only
from apps.console.shared.events import logged_lines
from apps.provenance.selectors import anchoring_state
from federated.errors import InvalidInput, NotFound


@require_safe
@never_cache
def events(request: OrganizationRequest) -> HttpResponse:
    """Search one of the organization's two logs; keyset pages, newest first."""
    slug, log = request.organization.slug, request.GET.get("log", "own")
    url = partial(organization_url, slug, "event", log)
    return _search(request, slug, log, url, {"section": "events"})


@require_safe
@login_required
@never_cache
def operator_events(request: OperatorRequest) -> HttpResponse:
    """Search the consortium's whole log."""
    operators_only(request)
    url = partial(root_url, "operator_event")
    return _search(request, None, "consortium", url, {"section": "operator_events"})


def _search(
    request: OperatorRequest,
    organization: str | None,
    log: str,
    url: Any,
    context: Mapping[str, Any],
) -> HttpResponse:
    report = organization_url(organization, "report") if organization else None
    given = {name: request.GET.get(name, "") for name in FIELDS}
    shown: dict[str, Any] = {**context, "log": log, "given": given, "operator": not organization}
    shown["report_url"] = report or root_url("operator_report")
    status = 200
    try:
        page, found = events_search(organization=organization, log=log, given=request.GET.dict())
        rows = zip(logged_lines(found), found, strict=True)
        shown["rows"] = [(row, url(event.id)) for row, event in rows]
        if page.next_cursor:
            query = request.GET.copy()
            query["cursor"] = page.next_cursor
            shown["older"] = query.urlencode()
    except InvalidInput as error:
        shown["error"] = error.message
        status = error.status
    return render(request, "console/events/events.html", shown, status=status)


@require_safe
@never_cache
def event(request: OrganizationRequest, log: str, event_id: UUID) -> HttpResponse:
    """One event, and its proof as a path to the root."""
    if log not in LOGS:
        raise NotFound("There is no such log; the logs are own and consortium.")
    slug = request.organization.slug
    back = f"{organization_url(slug, 'events')}?log={log}"
    return _event(request, slug, log, event_id, {"section": "events", "back": back})


@require_safe
@login_required
@never_cache
def operator_event(request: OperatorRequest, event_id: UUID) -> HttpResponse:
    """One event of the consortium's log, and its proof as a path to the root."""
    operators_only(request)
    context = {"section": "operator_events", "back": root_url("operator_events")}
    return _event(request, None, "consortium", event_id, context)


def _event(
    request: OperatorRequest,
    organization: str | None,
    log: str,
    event_id: UUID,
    context: Mapping[str, Any],
) -> HttpResponse:
    found = event_evidence(organization=organization, log=log, event_id=event_id)
    (row,) = logged_lines([found.logged])
    steps = [
        {"is_left": step.is_left, "sibling": step.sibling.hex(), "parent": step.parent.hex()}
        for step in found.path
    ]
    shown = {**context, "row": row, "found": found, "steps": steps[::-1]}
    shown["anchoring"] = anchoring_state()
    if found.proof is not None:
        shown["leaf"] = found.proof.leaf_hash.hex()
    return render(request, "console/events/event.html", shown)
