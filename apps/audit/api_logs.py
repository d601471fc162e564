"""Logs for their readers (C2SP tlog-tiles) and for their witnesses.

Checkpoints and tiles of hashes are for the log's members: an organization's own log for its people
and its site, the consortium's for all. Entries of the consortium's log tell of other organizations'
jobs and people, so only its operators get them whole; a participant's events are in GET /api/log.
"""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.audit import witnesses
from apps.common.api import MemberAPIView, SiteAPIView
from apps.common.bodies import SMALL, message_read
from apps.common.permissions import MemberPermission
from apps.organizations.public_keys import public_key_of
from apps.provenance import tiles
from apps.provenance.selectors import checkpoint_latest
from apps.provenance.witnesses import note_cosigned
from federated.errors import Forbidden, InvalidInput, NotFound
from federated.wire.base import Signed
from federated.wire.witness import Cosigned, CosignOffer, LogName, WitnessKey

LOGS = ("own", "consortium")


def log_named(name: str) -> LogName:
    """Raises NotFound for a log that is neither the organization's own nor the consortium's."""
    if name not in LOGS:
        raise NotFound("There is no such log; the logs are own and consortium.")
    return cast("LogName", name)


class LogPermission(MemberPermission):
    """A member or its site; an operator too, for the consortium's log."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if getattr(request.user, "is_operator", False) and view.kwargs["log"] == "consortium":
            return True
        return super().has_permission(request, view)


class LogReadView(MemberAPIView):
    """Answers are octets or text whatever the Accept header says: errors alone are JSON."""

    permission_classes = [LogPermission]

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        return super().perform_content_negotiation(request, force=True)

    @property
    def slug(self) -> str:
        # An operator, for the consortium's log, has none.
        organization = self.found.organization
        return "" if organization is None else organization.slug


class CheckpointView(LogReadView):
    @extend_schema(
        summary="The log's newest checkpoint as a signed note, with its cosignatures",
        responses={(200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request, log: str) -> HttpResponse:
        with witnesses.log_entered(log_named(log), self.slug):
            newest = checkpoint_latest()
            if newest is None:
                raise NotFound("The log has no checkpoint yet.")
            note = note_cosigned(newest)
        return HttpResponse(
            note,
            content_type="text/plain; charset=utf-8",
            headers={"Cache-Control": "private, no-cache"},
        )


class TileView(LogReadView):
    @extend_schema(
        summary="A tile of hashes, or an entry bundle (`level` is `entries`), of a log",
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    def get(self, request: Request, log: str, level: str, index: str) -> HttpResponse:
        name, place = log_named(log), tiles.Place.parse(level, index)
        whole = level == "entries"
        if whole and name == "consortium" and not getattr(request.user, "is_operator", False):
            raise Forbidden(
                "Entries of the consortium's log are for its operators: they tell of others' jobs. "
                "GET /api/log?log=consortium has those of your jobs."
            )
        with witnesses.log_entered(name, self.slug):
            content = tiles.entries(place) if whole else tiles.tile(place)
        return HttpResponse(
            content,
            content_type="application/octet-stream",
            headers={"Cache-Control": "private, max-age=31536000, immutable"},
        )


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
            public_key=public_key_of(self.certificate.pem),
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
            public_key=public_key_of(self.certificate.pem),
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
        certificate = self.found.certificate
        if certificate is None:
            raise InvalidInput("Only a site registers a witness key, by its certificate.")
        created = witnesses.witness_key_register(
            organization=self.organization.slug,
            signed=signed,
            public_key=public_key_of(certificate.pem),
            actor=self.actor,
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)
