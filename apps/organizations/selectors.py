"""Look-ups of organizations, sites and certificates."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from apps.common.selectors import get_for
from apps.organizations.models import Organization, Site, SiteCertificate
from federated.errors import NotAuthenticated
from federated.wire.base import encode_bytes
from federated.wire.key import Roster, RosterSite

# Agents ask for work every few seconds.
PRESENT = timedelta(seconds=30)


def organization_get(*, slug: str) -> Organization:
    """Raises NotFound."""
    return get_for(Organization.objects.all(), slug=slug)


def organizations_active() -> QuerySet[Organization]:
    return Organization.objects.filter(state=Organization.State.ACTIVE)


def sites_active() -> QuerySet[Site]:
    """Sites that may take part: not revoked, of active organizations."""
    return Site.objects.select_related("organization").filter(
        state=Site.State.ACTIVE, organization__state=Organization.State.ACTIVE
    )


def certificate_accept(*, der: bytes) -> SiteCertificate:
    """The certificate's row, if its bearer may act now.

    The TLS handshake has checked the chain; the database has the last word on revocation. Raises
    NotAuthenticated with the reason.
    """
    fingerprint = hashlib.sha256(der).hexdigest()
    certificate = (
        SiteCertificate.objects.select_related("site__organization")
        .filter(fingerprint=fingerprint)
        .first()
    )
    if certificate is None:
        raise NotAuthenticated("This certificate was not issued by this consortium.")
    if certificate.revoked_at is not None:
        raise NotAuthenticated("This certificate is revoked; join again with a new token.")
    if certificate.not_after <= timezone.now():
        raise NotAuthenticated("This certificate has expired; join again with a new token.")
    if certificate.site.state != Site.State.ACTIVE:
        raise NotAuthenticated("This site is revoked.")
    if certificate.site.organization.state != Organization.State.ACTIVE:
        raise NotAuthenticated("This site's organization is not active.")
    return certificate


def sites_of(*, organization: Organization) -> QuerySet[Site]:
    return Site.objects.filter(organization=organization).select_related("organization")


def site_is_present(site: Site) -> bool:
    """Whether the site's agent asked for work a short while ago."""
    return site.last_seen_at is not None and timezone.now() - site.last_seen_at < PRESENT


def site_certificate(*, organization: Organization) -> SiteCertificate | None:
    """The certificate that the organization's site signs with now, if it has joined."""
    return (
        SiteCertificate.objects.select_related("site__organization")
        .filter(
            site__organization=organization,
            site__state=Site.State.ACTIVE,
            revoked_at=None,
            not_after__gt=timezone.now(),
        )
        .order_by("-created_at")
        .first()
    )


def roster() -> Roster:
    """Every active organization's current site: its public key (SPKI DER) and encryption key."""
    certificates = [site_certificate(organization=each) for each in organizations_active()]
    return Roster(
        consortium=settings.FSC_CONSORTIUM,
        sites=tuple(
            RosterSite(
                organization=certificate.site.organization.slug,
                public_key=encode_bytes(public_key_der(certificate)),
                encryption_key=encode_bytes(bytes(certificate.site.encryption_key)),
            )
            for certificate in certificates
            if certificate is not None
        ),
    )


def public_key_der(certificate: SiteCertificate) -> bytes:
    """The SubjectPublicKeyInfo DER of a site's certificate."""
    key = x509.load_pem_x509_certificate(certificate.pem.encode()).public_key()
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
