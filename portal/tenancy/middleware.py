"""Finds a request's organization, and works as its role until the response.

1. Under ``/api/``, a site's client certificate names the organization.
2. Else a path ``/o/<slug>/...`` does, for its members; ``/o/<slug>`` becomes SCRIPT_NAME.
3. Else the request is the consortium's own and stays in the public schema.

An organization is "not found" for everybody else. Nothing is cached between requests: fingerprint,
revocation, role and state are read from the database each time.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import set_script_prefix

from apps.accounts.selectors import membership_find
from apps.common.errors import domain_error, error_response, wants_problem
from apps.common.requests import TenantRequest, tenant_connection
from apps.common.urls import ORGANIZATION_URLCONF, root_url
from apps.organizations.selectors import certificate_accept
from federated.errors import DomainError, NotAuthenticated, NotFound

ORGANIZATION_PATH = re.compile(r"^/o/(?P<slug>[^/]+)(?P<rest>/.*)?$")


def peer_certificate(request: HttpRequest) -> bytes | None:
    """The DER of the client certificate that the TLS handshake accepted, if there is one."""
    socket = request.META.get("gunicorn.socket")
    read = getattr(socket, "getpeercert", None)
    return read(binary_form=True) if read is not None else None


class TenantMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: TenantRequest) -> HttpResponse:
        request.organization = request.site = request.certificate = request.membership = None
        request.refusal = None
        tenant_connection().set_schema_to_public()
        try:
            early = self._enter(request)
            return early if early is not None else self.get_response(request)
        except (DomainError, DatabaseError, InterfaceError) as error:
            known = domain_error(error)
            if known is None:
                raise
            return error_response(request, known)
        finally:
            tenant_connection().set_schema_to_public()
            set_script_prefix(request.META.get("SCRIPT_NAME", "") or "/")

    def _enter(self, request: TenantRequest) -> HttpResponse | None:
        """Choose the organization. An answer returned here ends the request."""
        found = ORGANIZATION_PATH.match(request.path_info)
        slug = None
        if found:
            if found["rest"] is None:
                return HttpResponseRedirect(f"{request.path}/")
            slug, request.path_info = found["slug"], found["rest"]
        if request.path_info.startswith("/api/"):
            self._enter_by_certificate(request, slug)
        if slug is not None:
            early = None if request.site else self._enter_by_membership(request, slug)
            if early is not None:
                return early
            request.urlconf = ORGANIZATION_URLCONF
            set_script_prefix(f"/o/{slug}/")
        if request.organization is not None:
            tenant_connection().set_tenant(request.organization)
        return None

    def _enter_by_certificate(self, request: TenantRequest, slug: str | None) -> None:
        der = peer_certificate(request)
        if der is None:
            return
        try:
            certificate = certificate_accept(der=der)
        except NotAuthenticated as refusal:
            # Views for everybody, such as joining, stay open; the others answer with it.
            request.refusal = refusal
            return
        organization = certificate.site.organization
        if slug is not None and slug != organization.slug:
            raise NotFound("There is nothing at this address.")
        request.certificate, request.site = certificate, certificate.site
        request.organization = organization

    def _enter_by_membership(self, request: TenantRequest, slug: str) -> HttpResponse | None:
        # Evaluated here, while the session tables can still be read.
        user = request.user
        if not user.is_authenticated:
            if wants_problem(request):
                raise request.refusal or NotAuthenticated("Sign in, or present a certificate.")
            return redirect_to_login(request.get_full_path(), root_url("account_login"))
        membership = membership_find(user=user, slug=slug)
        if membership is None:
            raise NotFound("There is nothing at this address.")
        request.membership, request.organization = membership, membership.organization
        return None
