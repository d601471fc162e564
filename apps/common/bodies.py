"""Reads request bodies: checks the size, then parses one wire message."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import RequestDataTooBig

from federated.errors import InvalidInput, TooLarge
from federated.wire.base import Message

M = TypeVar("M", bound=Message)
# An escaped null character in JSON: after an even number of backslashes. PostgreSQL takes none.
_NULL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
SMALL = 256 * 1024
"""Bytes that a message without ciphertexts or parameters may take."""


def body_read(request: Any, *, limit: int | None = None) -> bytes:
    """The request's body. Raises TooLarge before it is read, where its length says so."""
    most = min(
        limit or settings.FSC_CONFIG.coordinator.max_body_bytes,
        settings.FSC_CONFIG.coordinator.max_body_bytes,
    )
    try:
        announced = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError as error:
        raise InvalidInput("Content-Length is not a number.") from error
    if announced > most:
        raise TooLarge(f"The body has {announced} bytes; at most {most} are allowed.", limit=most)
    try:
        body: bytes = request.body
    except RequestDataTooBig as error:
        raise TooLarge(f"The body has more than the {most} bytes allowed.", limit=most) from error
    if len(body) > most:
        raise TooLarge(f"The body has {len(body)} bytes; at most {most} are allowed.", limit=most)
    return body


def message_read(request: Any, kind: type[M], *, limit: int | None = None) -> M:
    """The one wire message in the body. Raises InvalidInput naming the first field at fault."""
    body = body_read(request, limit=limit)
    if b"\\u0000" in body and _NULL.search(body):
        raise InvalidInput(f"{kind.__name__}: a text holds a null character, which is not allowed.")
    return kind.parse(body)
