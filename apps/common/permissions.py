"""Checks who may call a view; the tenancy middleware has identified the caller before."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.common.requests import TenantRequest, tenant_request
from federated.errors import Forbidden, NotAuthenticated, NotFound


class SitePrincipal:
    """The ``request.user`` of Django REST framework when a site calls."""

    is_authenticated = True
    is_active = True
    is_anonymous = False
    is_operator = False

    def __init__(self, site: Any) -> None:
        self.site = site
        self.pk = site.pk

    def get_username(self) -> str:
        return str(self.site.name)


class SiteAuthentication(BaseAuthentication):
    """Takes the site that the middleware found for the client certificate."""

    def authenticate(self, request: Request) -> tuple[SitePrincipal, Any] | None:
        found = tenant_request(request)
        return None if found.site is None else (SitePrincipal(found.site), found.certificate)

    def authenticate_header(self, request: Request) -> str:
        return "Certificate"


class Closed(BasePermission):
    """The default permission: it refuses every caller."""

    def has_permission(self, request: Request, view: Any) -> bool:
        raise NotFound("There is nothing at this address.")


def _refuse(request: TenantRequest) -> None:
    """Answer with what was wrong with a presented certificate, before trying anything else."""
    if request.refusal is not None:
        raise request.refusal


class SitePermission(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        found = tenant_request(request)
        _refuse(found)
        if found.site is None:
            raise NotAuthenticated("A site's certificate, issued by this consortium, is needed.")
        return True


class MemberPermission(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        found = tenant_request(request)
        _refuse(found)
        if found.site is not None:
            if not view.site_allowed:
                raise Forbidden("Only a person may do this, not a site.")
            return True
        membership = found.membership
        if membership is None:
            raise NotAuthenticated(
                "Sign in and use the organization's address (/o/<organization>/...), "
                "or present its site's certificate."
            )
        roles = view.allowed_roles(request.method)
        if membership.role not in roles:
            raise Forbidden(
                f"Your role here is {membership.role}; this needs {' or '.join(sorted(roles))}."
            )
        return True


class OperatorPermission(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user.is_authenticated:
            raise NotAuthenticated("Sign in as a consortium operator.")
        if not getattr(request.user, "is_operator", False):
            raise NotFound("There is nothing at this address.")
        return True
