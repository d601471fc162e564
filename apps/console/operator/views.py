"""The consortium's health, for operators."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.common.requests import OperatorRequest
from apps.console.operator.selector import operator_page
from apps.console.shared.access import operators_only


@require_safe
@login_required
@never_cache
def operator(request: OperatorRequest) -> HttpResponse:
    """The consortium's health; for everybody but operators there is nothing here."""
    operators_only(request)
    return render(
        request, "console/operator/operator.html", {"page": operator_page(), "section": "operator"}
    )
