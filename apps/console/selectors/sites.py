"""A site as a line of a table."""

from __future__ import annotations

from apps.console import pages
from apps.organizations.models import Site


def site_row(site: Site) -> pages.SiteRow:
    valid = [c for c in site.certificates.all() if c.revoked_at is None]
    newest = max(valid, key=lambda certificate: certificate.created_at, default=None)
    return pages.SiteRow(
        name=site.name,
        organization=site.organization.slug,
        last_seen_at=site.last_seen_at,
        fingerprint="" if newest is None else newest.fingerprint,
        certificate_until=None if newest is None else newest.not_after,
    )
