"""The log and bundles, for an organization's people and its site."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.audit.cards import card_of
from apps.audit.search import FIELDS, LOGS, events_search
from apps.audit.selectors import logged_describe
from apps.audit.services import bundle_export, campaign_bundle_export
from apps.benchmarks.selectors.campaigns import campaign_get_for
from apps.common.api import MemberAPIView, PublicAPIView
from apps.common.coordinator import as_coordinator
from apps.provenance.selectors import anchoring_state
from apps.training.selectors.jobs import job_get_for
from federated.card.card import card_json
from federated.errors import InvalidInput

ALLOWED = ("log", *FIELDS, "cursor", "limit")


class HealthView(PublicAPIView):
    @extend_schema(
        summary="Whether the portal answers, and whether anchors reach the chain; for monitors",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        with as_coordinator():
            anchoring = anchoring_state()
        status = "degraded" if anchoring == "failing" else "ok"
        return Response({"status": status, "anchoring": anchoring})


class LogView(MemberAPIView):
    @extend_schema(
        summary="Events in order: of the organization's log, or its own in the consortium's",
        parameters=[
            OpenApiParameter("log", str, enum=LOGS, default="own"),
            OpenApiParameter("tag", str, description="what the tag begins with"),
            OpenApiParameter("subject", str, description="what the subject's id begins with"),
            OpenApiParameter("actor", str, description="in the actor's name or organization"),
            OpenApiParameter("since", str, description="ISO 8601 date or time, inclusive"),
            OpenApiParameter("until", str, description="ISO 8601 date or time, exclusive"),
            OpenApiParameter("text", str, description="anywhere in tag, subject or actor"),
            OpenApiParameter("cursor", str, description="next_cursor of the page before"),
            OpenApiParameter("limit", int, description="1 to 200, default 50"),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        # A misspelt filter that is ignored would answer another question than was asked.
        for name in query:
            if name not in ALLOWED:
                raise InvalidInput(f"{name[:40]}: allowed are {', '.join(ALLOWED)}", field=name)
        log = query.get("log", "own")
        page, logged = events_search(
            organization=self.organization.slug, log=log, given=query.dict(), descending=False
        )
        listed = [logged_describe(event) for event in logged]
        return Response({"log": log, "events": listed, "next_cursor": page.next_cursor})


class BundleView(MemberAPIView):
    @extend_schema(
        summary="All that an outsider needs to verify the job offline (docs/audit/bundle.md)",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, job_id: Any) -> HttpResponse:
        slug = self.organization.slug
        job = job_get_for(organization=slug, job_id=job_id)
        content = bundle_export(job=job, organization=slug, actor=self.actor)
        return HttpResponse(
            content,
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="bundle-{job.pk}.json"'},
        )


class CardView(MemberAPIView):
    @extend_schema(
        summary="The card of the model that the job released (docs/audit/model-card.md)",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, job_id: Any) -> HttpResponse:
        slug = self.organization.slug
        job = job_get_for(organization=slug, job_id=job_id)
        card = card_of(job, organization=slug)
        return HttpResponse(
            card_json(card),
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="card-{job.pk}.json"'},
        )


class CampaignBundleView(MemberAPIView):
    @extend_schema(
        summary="All that an outsider needs to verify the campaign's runs offline",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, campaign_id: Any) -> HttpResponse:
        slug = self.organization.slug
        campaign = campaign_get_for(organization=slug, campaign_id=campaign_id)
        content = campaign_bundle_export(campaign=campaign, organization=slug, actor=self.actor)
        name = f"bundle-{campaign.pk}.json"
        return HttpResponse(
            content,
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )
