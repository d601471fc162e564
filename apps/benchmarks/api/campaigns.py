"""Campaigns: listing, creating, changing, exporting."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.benchmarks.drafts import CampaignDraft
from apps.benchmarks.models import Campaign
from apps.benchmarks.selectors.campaigns import (
    campaign_describe,
    campaign_get_for,
    campaign_summary,
    campaigns_of,
)
from apps.benchmarks.selectors.exports import FORMATS, export_csv, export_rows
from apps.benchmarks.services import campaigns
from apps.common.api import MemberAPIView, OperatorAPIView
from apps.common.bodies import SMALL, message_read
from apps.common.pagination import keyset_page
from apps.common.roles import Role
from apps.common.selectors import get_for
from federated.errors import InvalidInput

CREATED = {200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT}
WRITERS = frozenset({Role.ADMIN, Role.SCIENTIST})
PAGED = [OpenApiParameter("cursor", str), OpenApiParameter("limit", int)]


class CampaignsView(MemberAPIView):
    write_roles = WRITERS

    @extend_schema(
        summary="The campaigns that the organization may take part in",
        parameters=PAGED,
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        page = keyset_page(
            campaigns_of(self.organization.slug),
            cursor=query.get("cursor"),
            limit=query.get("limit"),
        )
        listed = [campaign_summary(found) for found in page.items]
        return Response({"campaigns": listed, "next_cursor": page.next_cursor})

    @extend_schema(
        summary="Create a campaign, where organizations may",
        request=CampaignDraft,
        responses=CREATED,
    )
    def post(self, request: Request) -> Response:
        draft = message_read(request, CampaignDraft, limit=SMALL)
        slug = self.organization.slug
        made = campaigns.campaign_create(draft=draft, creator=slug, actor=self.actor)
        return Response({"campaign_id": str(made.pk)}, status=201)


class CampaignView(MemberAPIView):
    write_roles = WRITERS

    @extend_schema(
        summary="A campaign: spec, answers, runs",
        operation_id="campaign_get",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, campaign_id: Any) -> Response:
        slug = self.organization.slug
        campaign = campaign_get_for(organization=slug, campaign_id=campaign_id)
        return Response(campaign_describe(campaign, organization=slug))

    @extend_schema(
        summary="Change a campaign (its creator): all approvals fall",
        request=CampaignDraft,
        responses=OpenApiTypes.OBJECT,
    )
    def put(self, request: Request, campaign_id: Any) -> Response:
        slug = self.organization.slug
        campaign = campaign_get_for(organization=slug, campaign_id=campaign_id)
        draft = message_read(request, CampaignDraft, limit=SMALL)
        changed = campaigns.campaign_change(
            campaign=campaign, draft=draft, editor=slug, actor=self.actor
        )
        return Response({"campaign_id": str(changed.pk), "spec_digest": changed.spec_digest})


class ExportView(MemberAPIView):
    @extend_schema(
        summary="All releases of a campaign, a row each run, metric and statistic",
        parameters=[OpenApiParameter("as", str, enum=FORMATS, default="json")],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/csv"): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request, campaign_id: Any) -> HttpResponse:
        campaign = campaign_get_for(organization=self.organization.slug, campaign_id=campaign_id)
        wanted = request.query_params.get("as", "json")
        if wanted not in FORMATS:
            raise InvalidInput(f"as: allowed are {', '.join(FORMATS)}", field="as")
        rows = export_rows(campaign)
        if wanted == "json":
            return Response({"campaign_id": str(campaign.pk), "rows": rows})
        return HttpResponse(
            export_csv(rows),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="campaign-{campaign.pk}.csv"'},
        )


class OperatorCampaignsView(OperatorAPIView):
    @extend_schema(
        summary="All campaigns (an operator)", parameters=PAGED, responses=OpenApiTypes.OBJECT
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        page = keyset_page(
            Campaign.objects.all(), cursor=query.get("cursor"), limit=query.get("limit")
        )
        listed = [campaign_summary(found) for found in page.items]
        return Response({"campaigns": listed, "next_cursor": page.next_cursor})

    @extend_schema(
        summary="Create a campaign (an operator)", request=CampaignDraft, responses=CREATED
    )
    def post(self, request: Request) -> Response:
        draft = message_read(request, CampaignDraft, limit=SMALL)
        made = campaigns.campaign_create(draft=draft, creator=campaigns.OPERATOR, actor=self.actor)
        return Response({"campaign_id": str(made.pk)}, status=201)


class OperatorCampaignView(OperatorAPIView):
    @extend_schema(
        summary="Change a campaign (an operator): all approvals fall",
        request=CampaignDraft,
        responses=OpenApiTypes.OBJECT,
    )
    def put(self, request: Request, campaign_id: Any) -> Response:
        campaign = get_for(Campaign.objects.all(), pk=campaign_id)
        draft = message_read(request, CampaignDraft, limit=SMALL)
        changed = campaigns.campaign_change(
            campaign=campaign, draft=draft, editor=campaigns.OPERATOR, actor=self.actor
        )
        return Response({"campaign_id": str(changed.pk), "spec_digest": changed.spec_digest})
