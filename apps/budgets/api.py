"""The mirrored ledger: written by the organization's site, read by its people."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.budgets.selectors import ledger_describe
from apps.budgets.services import ledger_mirror
from apps.common.api import MemberAPIView
from apps.common.bodies import message_read
from apps.organizations.public_keys import public_key_of
from federated.wire.base import Signed
from federated.wire.site import LedgerReport


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
            public_key=public_key_of(request._request.certificate.pem),
            actor=self.actor,
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)
