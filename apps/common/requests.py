"""Requests with what the tenancy middleware found, and the connection that it switched.

Django's own types know neither: these describe them to readers and to the type checker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.db import connection
from django.http import HttpRequest
from rest_framework.request import Request

if TYPE_CHECKING:
    from django_tenants.postgresql_backend.base import DatabaseWrapper

    from apps.accounts.models import Membership, User
    from apps.organizations.models import Organization, Site, SiteCertificate
    from federated.errors import DomainError


class TenantRequest(HttpRequest):
    """A request after `portal.tenancy.middleware.TenantMiddleware`; each may be None."""

    organization: Organization | None
    # The stubs know the attribute of django.contrib.sites, which is not installed.
    site: Site | None  # type: ignore[assignment]
    certificate: SiteCertificate | None
    membership: Membership | None
    refusal: DomainError | None


class OperatorRequest(TenantRequest):
    """A signed-in person's request to the consortium's own pages."""

    user: User


class OrganizationRequest(OperatorRequest):
    """A member's request under ``/o/<slug>/``: the middleware answers everybody else itself."""

    organization: Organization
    membership: Membership


def tenant_request(request: Request) -> TenantRequest:
    """Django's request inside that of Django REST framework."""
    return cast("TenantRequest", request._request)


def tenant_connection() -> DatabaseWrapper:
    """The database connection, whose schema django-tenants switches."""
    return cast("DatabaseWrapper", connection)
