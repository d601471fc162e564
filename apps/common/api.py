"""Base classes of API views: they check the caller and name the organization.

The tenancy middleware has already decided who calls: it sets ``request.site`` and
``request.certificate`` for an accepted client certificate, ``request.membership`` for a person
under ``/o/<slug>/``, and ``request.organization`` for both. These classes only look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rest_framework.authentication import SessionAuthentication
from rest_framework.views import APIView

from apps.common.actor import Actor, request_actor
from apps.common.permissions import (
    MemberPermission,
    OperatorPermission,
    SiteAuthentication,
    SitePermission,
)
from apps.common.requests import TenantRequest, tenant_request
from apps.common.roles import ALL_ROLES
from federated.errors import NotAuthenticated

if TYPE_CHECKING:
    from apps.organizations.models import Organization, Site, SiteCertificate


class ApiView(APIView):
    """Common to all: the request as the middleware left it, and its actor."""

    @property
    def found(self) -> TenantRequest:
        return tenant_request(self.request)

    @property
    def actor(self) -> Actor:
        return request_actor(self.found)


class PublicAPIView(ApiView):
    """Needs no credential."""

    authentication_classes = []
    permission_classes = []


class OrganizationAPIView(ApiView):
    """A view whose permission lets in nobody without an organization."""

    @property
    def organization(self) -> Organization:
        if self.found.organization is None:
            raise NotAuthenticated("This needs an organization's member or site.")
        return self.found.organization

    @property
    def certificate(self) -> SiteCertificate:
        """The calling site's. Raises NotAuthenticated for a person."""
        if self.found.certificate is None:
            raise NotAuthenticated("A site's certificate, issued by this consortium, is needed.")
        return self.found.certificate


class SiteAPIView(OrganizationAPIView):
    """Only a site with a certificate that is issued, unexpired and not revoked."""

    authentication_classes = [SiteAuthentication]
    permission_classes = [SitePermission]

    @property
    def site(self) -> Site:
        return self.certificate.site


class MemberAPIView(OrganizationAPIView):
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
