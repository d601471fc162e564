"""Logs for their witnesses: checkpoints to cosign, cosignatures, witnesses' keys."""

from __future__ import annotations

from typing import cast

from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.audit import witnesses
from apps.common.api import MemberAPIView, SiteAPIView
from apps.common.bodies import SMALL, message_read
from apps.organizations.public_keys import public_key_of
from federated.errors import InvalidInput, NotFound
from federated.wire.base import Signed
from federated.wire.witness import Cosigned, CosignOffer, LogName, WitnessKey

LOGS = ("own", "consortium")


def log_named(name: str) -> LogName:
    """Raises NotFound for a log that is neither the organization's own nor the consortium's."""
    if name not in LOGS:
        raise NotFound("There is no such log; the logs are own and consortium.")
    return cast("LogName", name)


class CosignView(SiteAPIView):
    @extend_schema(
        summary="The log's newest checkpoint, its proof from size `old`, others' cosignatures",
        parameters=[OpenApiParameter("old", int, description="the caller's last head, or 0")],
        responses=CosignOffer,
    )
    def get(self, request: Request, log: str) -> Response:
        old = request.query_params.get("old", "0")
        if not old.isascii() or not old.isdigit() or len(old) > 18:
            raise InvalidInput("old: must be a tree size, from 0")
        offer = witnesses.checkpoint_offer(
            log=log_named(log),
            organization=self.organization.slug,
            old=int(old),
            public_key=public_key_of(request._request.certificate.pem),
        )
        return Response(offer.dump())

    @extend_schema(
        summary="Cosign a checkpoint of the log",
        request=Signed[Cosigned],
        responses={200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request, log: str) -> Response:
        name = log_named(log)
        signed = message_read(request, Signed[Cosigned], limit=SMALL)
        created = witnesses.checkpoint_cosigned(
            log=name,
            organization=self.organization.slug,
            signed=signed,
            public_key=public_key_of(request._request.certificate.pem),
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)


class WitnessesView(MemberAPIView):
    @extend_schema(
        summary="The active witnesses of both logs, and how far each log is cosigned and final",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        slug = self.organization.slug
        return Response({"logs": [witnesses.log_status(log_named(log), slug) for log in LOGS]})

    @extend_schema(
        summary="Register the caller's witness key",
        request=Signed[WitnessKey],
        responses={200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request) -> Response:
        signed = message_read(request, Signed[WitnessKey], limit=SMALL)
        certificate = request._request.certificate
        if certificate is None:
            raise InvalidInput("Only a site registers a witness key, by its certificate.")
        created = witnesses.witness_key_register(
            organization=self.organization.slug,
            signed=signed,
            public_key=public_key_of(certificate.pem),
            actor=self.actor,
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)
