"""Octets beside the signed messages: in parts on the way in, a stream on the way out."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from apps.common.errors import UnsupportedMediaType
from apps.training.services.incoming import Part
from apps.training.storage import file_pieces
from federated.errors import InvalidInput

OCTETS = "application/octet-stream"
PART = re.compile(r"bytes (?:(\d{1,15})-(\d{1,15})|\*)/(\d{1,15})")
RANGE = re.compile(r"bytes=(\d{1,15})-")
RECEIVED = {200: OpenApiTypes.OBJECT, 201: OpenApiTypes.OBJECT, 202: OpenApiTypes.OBJECT}
SENT = {(200, OCTETS): OpenApiTypes.BINARY, (206, OCTETS): OpenApiTypes.BINARY}
PART_HEADER = OpenApiParameter("Content-Range", str, OpenApiParameter.HEADER)
RANGE_HEADER = OpenApiParameter("Range", str, OpenApiParameter.HEADER)


class AnyType(BaseContentNegotiation):
    """Octets or a problem, whatever the client says it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: Any = None) -> Any:
        return JSONRenderer(), JSONRenderer.media_type


def part_of(request: Request, what: str) -> Part:
    """The part in the body. Raises InvalidInput for a Content-Range that its length does not fit,
    UnsupportedMediaType for anything but octets."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError as error:
        raise InvalidInput("Content-Length is not a number.") from error
    header = request.headers.get("Content-Range")
    if header is None:
        start, end, total = 0, length, length
    else:
        given = PART.fullmatch(header)
        if given is None:
            raise InvalidInput('Content-Range: use "bytes FIRST-LAST/SIZE" or "bytes */SIZE"')
        total = int(given[3])
        start, end = (0, 0) if given[1] is None else (int(given[1]), int(given[2]) + 1)
        if not start <= end <= total or end - start != length:
            raise InvalidInput(f"Content-Range: {header} does not fit a body of {length} bytes")
    if end and request.content_type != OCTETS:
        raise UnsupportedMediaType(f"A {what} is {OCTETS}.")
    return Part(start, end, total, request._request.read)


def octets_answer(
    request: Request, file: Any, *, size: int, digest: str
) -> HttpResponse | StreamingHttpResponse:
    """An open file, from ``Range: bytes=N-`` on; closed when sent."""
    asked = RANGE.fullmatch(request.headers.get("Range", ""))
    start = int(asked[1]) if asked else 0
    headers = {
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    if asked and start >= size:
        file.close()
        headers["Content-Range"] = f"bytes */{size}"
        return HttpResponse(status=416, headers=headers)
    headers["Content-Length"] = str(size - start)
    if asked:
        headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
    return StreamingHttpResponse(
        file_pieces(file, start),
        status=206 if asked else 200,
        content_type=OCTETS,
        headers=headers,
    )
