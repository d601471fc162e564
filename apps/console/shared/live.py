"""The part of a page that htmx asks for again every second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

#: htmx stops polling at this answer.
STOP_POLLING = 286


def live_answer(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, seen: str, over: bool
) -> HttpResponse:
    """The part if it changed since the browser's ``?seen=``, else 204; 286 once it is over."""
    if not over and request.GET.get("seen") == seen:
        return HttpResponse(status=204)
    return render(request, template, context, status=STOP_POLLING if over else 200)
