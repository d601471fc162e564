"""A model's card: a page of its own, without the portal's frame, that readers keep or print."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.audit.cards import card_of
from apps.common.requests import OrganizationRequest
from apps.training.selectors.jobs import job_get_for
from federated.card.page import POLICY, card_page


@require_safe
@never_cache
def card(request: OrganizationRequest, job_id: UUID) -> HttpResponse:
    """Of a job that the organization takes part in and that has released; else there is none."""
    slug = request.organization.slug
    job = job_get_for(organization=slug, job_id=job_id)
    page = card_page(card_of(job, organization=slug))
    # Its one style is inline, which the portal's policy forbids; it says by digest which.
    headers = {"Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'"}
    return HttpResponse(page, headers=headers)
