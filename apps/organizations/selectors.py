"""Look-ups of organizations, sites and certificates."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.utils import timezone

from apps.common.selectors import get_for
from apps.organizations.models import Organization, Site, SiteCertificate
from federated.errors import NotAuthenticated

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


def certificates_of(*, keys: Collection[str], since: datetime) -> QuerySet[SiteCertificate]:
    """Every certificate of the keys (hex SHA-256 of their SPKI) that ended after ``since``."""
    found = SiteCertificate.objects.filter(key_id__in=keys, not_after__gte=since)
    return found.order_by("key_id", "created_at", "pk")


def sites_of(*, organization: Organization) -> QuerySet[Site]:
    return Site.objects.filter(organization=organization).select_related("organization")


def site_is_present(site: Site) -> bool:
    """Return whether the site's agent asked for work a short while ago."""
    return site.last_seen_at is not None and timezone.now() - site.last_seen_at < PRESENT
