"""API of joining, and of a site's own record."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api import MemberAPIView, PublicAPIView, SiteAPIView
from apps.common.bodies import SMALL, message_read
from apps.organizations import ca
from apps.organizations.selectors import site_is_present, sites_of
from apps.organizations.services import certificate_renew, site_join
from federated.wire.base import decode_bytes, encode_bytes
from federated.wire.site import JoinRequest, JoinResponse, Renewal, RenewalRequest


class AuthorityView(PublicAPIView):
    """The consortium's CA. Compare its fingerprint with the join token's before trusting it."""

    @extend_schema(responses={(200, "application/x-pem-file"): OpenApiTypes.STR})
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(ca.certificate_pem(), content_type="application/x-pem-file")


class JoinView(PublicAPIView):
    """Admit a site by a one-time token; the token is the credential."""

    @extend_schema(request=OpenApiTypes.OBJECT, responses={201: OpenApiTypes.OBJECT})
    def post(self, request: Request) -> Response:
        message = message_read(request, JoinRequest, limit=SMALL)
        joined = site_join(
            token=message.token,
            csr_pem=message.csr,
            encryption_key=decode_bytes(message.encryption_key),
        )
        response = JoinResponse(
            organization=joined.site.organization.slug,
            consortium=settings.FSC_CONSORTIUM,
            certificate=joined.certificate.pem,
            ca=joined.ca_pem,
        )
        return Response(response.dump(), status=201)


def _site_fields(site: Any) -> dict[str, Any]:
    certificate = site.certificate
    return {
        "id": str(site.pk),
        "name": site.name,
        "state": site.state,
        "encryption_key": encode_bytes(bytes(site.encryption_key)),
        "fingerprint": certificate.fingerprint if certificate else None,
        "key_id": certificate.key_id if certificate else None,
        "not_after": certificate.not_after if certificate else None,
        "last_seen_at": site.last_seen_at,
        "present": site_is_present(site),
    }


class SiteView(SiteAPIView):
    """Describes the certificate's site, whether its agent is running, and the defaults here."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        config = settings.FSC_CONFIG
        return Response(
            {
                "organization": self.organization.slug,
                "organization_name": self.organization.name,
                "consortium": settings.FSC_CONSORTIUM,
                **_site_fields(self.site),
                "defaults": {
                    "epsilon": config.privacy.default_epsilon,
                    "delta": config.privacy.default_delta,
                    "mechanism": config.privacy.default_mechanism,
                    "allow_no_noise": config.privacy.allow_no_noise,
                    "max_queries_per_tenant": config.privacy.max_queries_per_tenant,
                    "allotment_epsilon": config.privacy.allotment_epsilon,
                    "allotment_delta": config.privacy.allotment_delta,
                    "round_seconds": config.jobs.round_seconds,
                    "max_body_bytes": config.coordinator.max_body_bytes,
                },
            }
        )


class RenewalView(SiteAPIView):
    """The site's next certificate, for the key of the one it presents."""

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request) -> Response:
        message = message_read(request, RenewalRequest, limit=SMALL)
        renewed = certificate_renew(
            certificate=self.certificate, csr_pem=message.csr, actor=self.actor
        )
        return Response(Renewal(certificate=renewed.pem).dump())


class SitesView(MemberAPIView):
    """The organization's own sites and whether their agents run."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        sites = sites_of(organization=self.organization)
        return Response({"sites": [_site_fields(site) for site in sites]})
