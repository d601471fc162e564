"""Campaigns: listing, creating, changing, answering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
from apps.benchmarks.services import campaigns
from apps.common.api import MemberAPIView, OperatorAPIView, SiteAPIView
from apps.common.bodies import SMALL, message_read
from apps.common.pagination import keyset_page
from apps.common.roles import Role
from apps.common.selectors import get_for
from federated.wire import campaign as wire
from federated.wire.base import Signed

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


class _AnswerView(SiteAPIView):
    """A site's signed answer to a campaign."""

    def answer(
        self, request: Request, campaign_id: Any, kind: Any, service: Callable[..., bool]
    ) -> Response:
        slug = self.organization.slug
        campaign: Campaign = campaign_get_for(organization=slug, campaign_id=campaign_id)
        signed = message_read(request, Signed[kind], limit=SMALL)
        created = service(campaign=campaign, organization=slug, signed=signed, actor=self.actor)
        return Response({"digest": signed.digest()}, status=201 if created else 200)


class CampaignApprovalView(_AnswerView):
    @extend_schema(
        summary="Countersign a campaign: its cost is reserved in the site's ledger",
        request=Signed[wire.CampaignApproval],
        responses=CREATED,
    )
    def post(self, request: Request, campaign_id: Any) -> Response:
        return self.answer(request, campaign_id, wire.CampaignApproval, campaigns.campaign_approve)


class CampaignDeclineView(_AnswerView):
    @extend_schema(
        summary="Take no part in a campaign",
        request=Signed[wire.CampaignDecline],
        responses=CREATED,
    )
    def post(self, request: Request, campaign_id: Any) -> Response:
        return self.answer(request, campaign_id, wire.CampaignDecline, campaigns.campaign_decline)


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
