"""An organization's home page."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.common.requests import OrganizationRequest
from apps.console.home.selector import home_page


@require_safe
@never_cache
def home(request: OrganizationRequest) -> HttpResponse:
    page = home_page(organization=request.organization)
    return render(request, "console/home/home.html", {"page": page, "section": "home"})
