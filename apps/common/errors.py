"""Turns every failure under /api/ into an RFC 9457 problem."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pydantic
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from rest_framework import exceptions as drf
from rest_framework.response import Response

from federated.errors import (
    DomainError,
    Forbidden,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    TooLarge,
    Unavailable,
)

PROBLEM_TYPE = "application/problem+json"
log = logging.getLogger(__name__)


class MethodNotAllowed(DomainError):
    code = "method_not_allowed"
    title = "The method is not allowed here"
    status = 405


class UnsupportedMediaType(DomainError):
    code = "unsupported_media_type"
    title = "The content type is not accepted here"
    status = 415


class NotAcceptable(DomainError):
    code = "not_acceptable"
    title = "No representation that the client accepts"
    status = 406


class TooManyRequests(DomainError):
    code = "too_many_requests"
    title = "Too many requests"
    status = 429
    retryable = True


class InternalError(DomainError):
    code = "internal_error"
    title = "An error of the portal's own"
    status = 500
    retryable = True


def domain_error(error: Exception) -> DomainError | None:
    """``error`` as the DomainError a client may see; None for a defect."""
    if isinstance(error, DomainError):
        return error
    if isinstance(error, pydantic.ValidationError):
        return _from_pydantic(error)
    if isinstance(error, OperationalError | InterfaceError):
        return Unavailable("The database does not answer now; try again in a few seconds.")
    if isinstance(error, Http404):
        return NotFound("There is nothing at this address.")
    if isinstance(error, RequestDataTooBig):
        return TooLarge("The request's body is over the size limit.")
    if isinstance(error, PermissionDenied):
        return Forbidden("You may not do this.")
    if isinstance(error, drf.APIException):
        return _from_drf(error)
    return None


def _from_pydantic(error: pydantic.ValidationError) -> InvalidInput:
    """Field paths and what is allowed; never the input, which may be private."""
    found = {
        ".".join(map(str, item["loc"])) or "body": item["msg"]
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    }
    first, message = next(iter(found.items()))
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return InvalidInput(f"{first}: {message}{more}", errors=found)


def _from_drf(error: drf.APIException) -> DomainError:
    if isinstance(error, drf.ValidationError):
        return InvalidInput("The request's fields are not valid.", errors=error.get_full_details())
    kinds: list[tuple[type[drf.APIException], type[DomainError]]] = [
        (drf.ParseError, InvalidInput),
        (drf.NotAuthenticated, NotAuthenticated),
        (drf.AuthenticationFailed, NotAuthenticated),
        (drf.PermissionDenied, Forbidden),
        (drf.NotFound, NotFound),
        (drf.MethodNotAllowed, MethodNotAllowed),
        (drf.NotAcceptable, NotAcceptable),
        (drf.UnsupportedMediaType, UnsupportedMediaType),
        (drf.Throttled, TooManyRequests),
    ]
    for kind, domain in kinds:
        if isinstance(error, kind):
            return domain(str(error.detail))
    return InvalidInput(str(error.detail))


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. A defect is logged and answered without details."""
    known = domain_error(error)
    if known is None:
        log.exception("unhandled error in %s", type(context.get("view")).__name__, exc_info=error)
        known = InternalError("The portal failed at this request; the failure is in its log.")
    _roll_back()
    headers = {}
    if known.status == 401:
        headers["WWW-Authenticate"] = "Certificate"
    if known.retryable:
        headers["Retry-After"] = str(known.fields.get("retry_after", 2))
    return Response(
        known.problem(), status=known.status, headers=headers, content_type=PROBLEM_TYPE
    )


def _roll_back() -> None:
    from rest_framework.views import set_rollback

    try:
        set_rollback()
    except DatabaseError:
        log.warning("the transaction was already gone when the request failed")


def problem_response(error: DomainError) -> JsonResponse:
    return JsonResponse(error.problem(), status=error.status, content_type=PROBLEM_TYPE)


def wants_problem(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def error_response(request: HttpRequest, error: DomainError) -> HttpResponse:
    """A problem for API paths, a page for people."""
    if wants_problem(request):
        return problem_response(error)
    return render(request, "error.html", {"error": error}, status=error.status)


class DomainErrorMiddleware:
    """Turns what a plain Django view raises into an answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, DomainError | OperationalError | InterfaceError):
            known = domain_error(error)
            assert known is not None
            return error_response(request, known)
        return None


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, InvalidInput("The request is malformed."))


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, Forbidden("You may not do this."))


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, NotFound("There is nothing at this address."))


def handler500(request: HttpRequest) -> HttpResponse:
    return error_response(
        request, InternalError("The portal failed at this request; the failure is in its log.")
    )
