"""Masked vectors: octets beside the signed messages of an attempt."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiTypes, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.attempts.api.views import OfPlayed
from apps.common.api import MemberAPIView
from apps.training.api.octets import (
    OCTETS,
    PART_HEADER,
    RANGE_HEADER,
    RECEIVED,
    SENT,
    AnyType,
    octets_answer,
    part_of,
)
from apps.training.selectors.vectors import vector_get_for, vector_open
from apps.training.services.played import JOBS
from apps.training.services.vectors import vector_receive


class VectorView(OfPlayed, MemberAPIView):
    played = JOBS
    content_negotiation_class = AnyType

    @extend_schema(
        summary="Upload the attempt's masked vector, whole or part by part (a site)",
        description="`Content-Range: bytes 0-99/1000` sends a part, `bytes */1000` with no body "
        "asks how many bytes are here. 202 until the vector is whole, then 201; 200 if it was "
        "stored before.",
        request={OCTETS: OpenApiTypes.BINARY},
        parameters=[PART_HEADER],
        responses=RECEIVED,
    )
    def put(self, request: Request, digest: str, **where: Any) -> Response:
        attempt = self.attempt(where)
        part = part_of(request, "masked vector")
        received, stored = vector_receive(
            attempt=attempt,
            organization=self.organization.slug,
            digest=digest,
            part=part,
            actor=self.actor,
        )
        status = 201 if stored else 200 if received == part.total else 202
        return Response({"received": received, "digest": digest}, status=status)

    @extend_schema(
        summary="A cohort member's masked vector, from `Range: bytes=N-` on",
        parameters=[RANGE_HEADER],
        responses=SENT,
    )
    def get(
        self, request: Request, digest: str, **where: Any
    ) -> HttpResponse | StreamingHttpResponse:
        attempt = self.attempt(where)
        vector = vector_get_for(attempt, organization=self.organization.slug, digest=digest)
        return octets_answer(request, vector_open(vector), size=vector.size, digest=digest)
