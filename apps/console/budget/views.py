"""The budget page, and a person's request for another allotment."""

from __future__ import annotations

import math
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.budgets.services.allotments import allotment_request
from apps.common.actor import request_actor
from apps.common.requests import OrganizationRequest
from apps.common.roles import Role
from apps.common.urls import organization_url
from apps.console.budget.selector import budget_page
from federated.errors import Conflict, Forbidden, InvalidInput
from federated.wire.site import AllotmentAsk


@require_safe
@never_cache
def budget(request: OrganizationRequest) -> HttpResponse:
    page = budget_page(organization=request.organization, role=request.membership.role)
    return render(request, "console/budget/budget.html", {"page": page, "section": "budget"})


@require_POST
def budget_allot(request: OrganizationRequest) -> HttpResponse:
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
        text = str(form.get(name, ""))
        if text:
            try:
                fields[name] = number(text)
                math.trunc(fields[name])  # infinite and NaN are numbers to Python alone
            except (ValueError, OverflowError) as error:
                raise InvalidInput(f"{name}: {text[:40]!r} is not a number") from error
    return AllotmentAsk.parse(fields | {"reason": " ".join(form.get("reason", "").split())})
