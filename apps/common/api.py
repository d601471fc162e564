"""Base classes of API views: they check the caller and name the organization.

The tenancy middleware has already decided who calls: it sets ``request.site`` and
``request.certificate`` for an accepted client certificate, ``request.membership`` for a person
under ``/o/<slug>/``, and ``request.organization`` for both. These classes only look.
"""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.authentication import SessionAuthentication
from rest_framework.views import APIView

from apps.common.actor import Actor, request_actor
from apps.common.permissions import (
    MemberPermission,
    OperatorPermission,
    SiteAuthentication,
    SitePermission,
)
from apps.common.roles import ALL_ROLES


class ApiView(APIView):
    """Common to all: the organization and the actor of the request."""

    @property
    def organization(self) -> Any:
        return self.request._request.organization

    @property
    def actor(self) -> Actor:
        return request_actor(self.request._request)


class PublicAPIView(ApiView):
    """Needs no credential."""

    authentication_classes = []
    permission_classes = []


class SiteAPIView(ApiView):
    """Only a site with a certificate that is issued, unexpired and not revoked."""

    authentication_classes = [SiteAuthentication]
    permission_classes = [SitePermission]

    @property
    def site(self) -> Any:
        return self.request._request.site


class MemberAPIView(ApiView):
    """A member of the organization by session, or its site by certificate.

    ``read_roles`` may use safe methods, ``write_roles`` the others; ``site_allowed`` says whether
    the site may call too.
    """

    authentication_classes = [SiteAuthentication, SessionAuthentication]
    permission_classes = [MemberPermission]
    read_roles: ClassVar[frozenset[str]] = ALL_ROLES
    write_roles: ClassVar[frozenset[str]] = frozenset()
    site_allowed: ClassVar[bool] = True

    def allowed_roles(self, method: str | None) -> frozenset[str]:
        return self.read_roles if method in ("GET", "HEAD", "OPTIONS") else self.write_roles


class OperatorAPIView(ApiView):
    """A consortium operator, by session; to everybody else it does not exist."""

    authentication_classes = [SessionAuthentication]
    permission_classes = [OperatorPermission]
