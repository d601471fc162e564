"""The mirrored ledger: written by the organization's site, read by its people."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.budgets.selectors import (
    allotments_describe,
    ledger_describe,
    request_describe,
    request_get,
)
from apps.budgets.services.allotments import allotment_request
from apps.budgets.services.mirror import ledger_mirror
from apps.common.api import MemberAPIView
from apps.common.bodies import SMALL, message_read
from apps.common.roles import Role
from apps.organizations.public_keys import public_key_of
from federated.errors import Forbidden
from federated.wire.base import Signed
from federated.wire.site import AllotmentAsk, AllotmentRequest, LedgerReport


class LedgerView(MemberAPIView):
    @extend_schema(
        summary="The organization's ledger as its site last reported it",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        return Response(ledger_describe(organization=self.organization.slug))

    @extend_schema(
        summary="Mirror a newer ledger report (a site, for its own organization)",
        request=Signed[LedgerReport],
        responses={200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request) -> Response:
        signed = message_read(request, Signed[LedgerReport])
        created = ledger_mirror(
            organization=self.organization.slug,
            signed=signed,
            public_key=public_key_of(self.certificate.pem),
            actor=self.actor,
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)


class AllotmentsView(MemberAPIView):
    write_roles: ClassVar[frozenset[str]] = frozenset({Role.ADMIN})

    @extend_schema(
        summary="How the organization's allotments changed, and what was asked in the portal",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        return Response(allotments_describe())

    @extend_schema(
        summary="Ask the organization's site for another allotment (an admin)",
        description="Less holds as soon as the site has read it; more waits for a person there.",
        request=AllotmentAsk,
        responses={201: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request) -> Response:
        if self.found.site is not None:
            raise Forbidden("A site changes its own ledger: federated ledger allot.")
        asked = message_read(request, AllotmentAsk, limit=SMALL)
        row = allotment_request(
            organization=self.organization.slug,
            dataset=asked.dataset,
            unit=asked.unit,
            changes=asked.changes(),
            reason=asked.reason,
            actor=self.actor,
        )
        return Response(request_describe(row), status=201)


class AllotmentRequestView(MemberAPIView):
    @extend_schema(
        summary="One request, as the organization's site reads it", responses=AllotmentRequest
    )
    def get(self, request: Request, request_id: UUID) -> Response:
        return Response(request_get(request_id=request_id).message)
