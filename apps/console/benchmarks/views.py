"""The list of campaigns, one campaign, and an organization's approval."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from apps.attempts.services.answers import endorse
from apps.benchmarks.selectors.campaigns import campaign_get_for
from apps.common.actor import request_actor
from apps.common.requests import OrganizationRequest
from apps.common.urls import organization_url
from apps.console.benchmarks.selector import benchmarks_page, campaign_page
from apps.console.shared.access import acting_only
from federated.errors import Conflict


@require_safe
@never_cache
def benchmarks(request: OrganizationRequest) -> HttpResponse:
    page = benchmarks_page(organization=request.organization)
    return render(
        request, "console/benchmarks/benchmarks.html", {"page": page, "section": "benchmarks"}
    )


@require_safe
@never_cache
def campaign(request: OrganizationRequest, campaign_id: UUID) -> HttpResponse:
    page = campaign_page(membership=request.membership, campaign_id=campaign_id)
    return render(
        request, "console/benchmarks/campaign.html", {"page": page, "section": "benchmarks"}
    )


@require_POST
def campaign_approve(request: OrganizationRequest, campaign_id: UUID) -> HttpResponse:
    slug = request.organization.slug
    found = campaign_get_for(organization=slug, campaign_id=campaign_id)
    acting_only(request)
    try:
        endorse(found, organization=slug, actor=request_actor(request))
        messages.success(request, "Approved. The site checks, signs and reserves the cost next.")
    except Conflict as error:
        messages.error(request, error.message)
    return redirect(organization_url(slug, "campaign", found.pk))
