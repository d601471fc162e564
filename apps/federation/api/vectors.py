"""Masked vectors: octets beside the signed messages, in parts on the way in, a stream out."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api import MemberAPIView
from apps.common.errors import UnsupportedMediaType
from apps.federation.api.rounds import Attempting
from apps.federation.selectors.vectors import vector_get_for, vector_open
from apps.federation.services.vectors import Part, vector_receive
from apps.federation.storage import file_pieces
from federated.errors import InvalidInput

OCTETS = "application/octet-stream"
PART = re.compile(r"bytes (?:(\d{1,15})-(\d{1,15})|\*)/(\d{1,15})")
RANGE = re.compile(r"bytes=(\d{1,15})-")
RECEIVED = {200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT, 202: OpenApiTypes.OBJECT}


class _AnyType(BaseContentNegotiation):
    """Octets or a problem, whatever the client says it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return JSONRenderer(), JSONRenderer.media_type


class VectorView(Attempting, MemberAPIView):
    content_negotiation_class = _AnyType

    @extend_schema(
        summary="Upload the attempt's masked vector, whole or part by part (a site)",
        description="`Content-Range: bytes 0-99/1000` sends a part, `bytes */1000` with no body "
        "asks how many bytes are here. 202 until the vector is whole, then 201; 200 if it was "
        "stored before.",
        request={OCTETS: OpenApiTypes.BINARY},
        parameters=[OpenApiParameter("Content-Range", str, OpenApiParameter.HEADER)],
        responses=RECEIVED,
    )
    def put(
        self, request: Request, job_id: Any, number: int, attempt: int, digest: str
    ) -> Response:
        found = self.attempt(job_id, number, attempt)
        part = _part(request)
        if part.end and request.content_type != OCTETS:
            raise UnsupportedMediaType(f"A masked vector is {OCTETS}.")
        received, stored = vector_receive(
            found=found,
            organization=self.organization.slug,
            digest=digest,
            part=part,
            actor=self.actor,
        )
        status = 201 if stored else 200 if received == part.total else 202
        return Response({"received": received, "digest": digest}, status=status)

    @extend_schema(
        summary="A cohort member's masked vector, from `Range: bytes=N-` on",
        parameters=[OpenApiParameter("Range", str, OpenApiParameter.HEADER)],
        responses={
            (200, OCTETS): OpenApiTypes.BINARY,
            (206, OCTETS): OpenApiTypes.BINARY,
        },
    )
    def get(
        self, request: Request, job_id: Any, number: int, attempt: int, digest: str
    ) -> HttpResponse | StreamingHttpResponse:
        found = self.attempt(job_id, number, attempt)
        vector = vector_get_for(found, organization=self.organization.slug, digest=digest)
        asked = RANGE.fullmatch(request.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        headers = {
            "ETag": f'"{digest}"',
            "Accept-Ranges": "bytes",
            "X-Content-Type-Options": "nosniff",
        }
        if asked and start >= vector.size:
            headers["Content-Range"] = f"bytes */{vector.size}"
            return HttpResponse(status=416, headers=headers)
        headers["Content-Length"] = str(vector.size - start)
        if asked:
            headers["Content-Range"] = f"bytes {start}-{vector.size - 1}/{vector.size}"
        return StreamingHttpResponse(
            file_pieces(vector_open(vector), start),
            status=206 if asked else 200,
            content_type=OCTETS,
            headers=headers,
        )


def _part(request: Request) -> Part:
    """Raises InvalidInput for a Content-Range that the body's length does not fit."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError as error:
        raise InvalidInput("Content-Length is not a number.") from error
    header = request.headers.get("Content-Range")
    if header is None:
        return Part(0, length, length, request._request.read)
    given = PART.fullmatch(header)
    if given is None:
        raise InvalidInput('Content-Range: use "bytes FIRST-LAST/SIZE" or "bytes */SIZE"')
    total = int(given[3])
    if given[1] is None:
        start = end = 0
    else:
        start, end = int(given[1]), int(given[2]) + 1
    if not start <= end <= total or end - start != length:
        raise InvalidInput(f"Content-Range: {header} does not fit a body of {length} bytes")
    return Part(start, end, total, request._request.read)
