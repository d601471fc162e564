"""The roster and the keys, for sites."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api import SiteAPIView
from apps.common.bodies import SMALL, message_read
from apps.keys.models import KeyEpoch
from apps.keys.selectors import key_epoch_current, key_epoch_get, roster, sealed_share_of
from apps.keys.services import key_confirm, key_retired_receive
from federated.wire import key as wire
from federated.wire.base import Signed


class RosterView(SiteAPIView):
    @extend_schema(summary="Every admitted site with its keys", responses=wire.Roster)
    def get(self, request: Request) -> Response:
        return Response(roster().dump())


class KeyCurrentView(SiteAPIView):
    @extend_schema(
        summary="The key that new jobs use, with the caller's sealed share",
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request) -> Response:
        return Response(_describe(key_epoch_current(), self.organization.slug))


class KeyView(SiteAPIView):
    @extend_schema(summary="One key, by its digest", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, digest: str) -> Response:
        return Response(_describe(key_epoch_get(digest=digest), self.organization.slug))


class KeyConfirmationView(SiteAPIView):
    @extend_schema(
        summary="Confirm that the caller's share opens and matches the key",
        request=Signed[wire.KeyConfirmation],
        responses={200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request, digest: str) -> Response:
        epoch = key_epoch_get(digest=digest)
        signed = message_read(request, Signed[wire.KeyConfirmation], limit=SMALL)
        created = key_confirm(
            epoch=epoch, organization=self.organization.slug, signed=signed, actor=self.actor
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)


class KeyRetirementView(SiteAPIView):
    @extend_schema(
        summary="Say that the caller's share of a retired key is destroyed",
        request=Signed[wire.KeyRetired],
        responses={200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request, digest: str) -> Response:
        epoch = key_epoch_get(digest=digest)
        signed = message_read(request, Signed[wire.KeyRetired], limit=SMALL)
        created = key_retired_receive(
            epoch=epoch, organization=self.organization.slug, signed=signed, actor=self.actor
        )
        return Response({"digest": signed.digest()}, status=201 if created else 200)


def _describe(epoch: KeyEpoch, organization: str) -> dict[str, Any]:
    share = sealed_share_of(epoch=epoch, organization=organization)
    confirmed = sorted(epoch.confirmations.values_list("organization", flat=True))
    return {
        "epoch": epoch.message,
        "digest": epoch.digest,
        "state": epoch.state,
        "sealed": None if share is None else share.message,
        "confirmed": organization in confirmed,
        "confirmations": confirmed,
    }
