"""A site as a line of a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from apps.organizations.models import Site

#: An agent polls at least every second; these allow for a slow link and a restart.
ONLINE_WITHIN = timedelta(seconds=30)
AWAY_WITHIN = timedelta(minutes=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteRow:
    name: str
    organization: str
    last_seen_at: datetime | None
    fingerprint: str = ""
    certificate_until: datetime | None = None

    @property
    def presence(self) -> str:
        if self.last_seen_at is None:
            return "never seen"
        gone = timezone.now() - self.last_seen_at
        return "online" if gone <= ONLINE_WITHIN else "away" if gone <= AWAY_WITHIN else "offline"


def site_row(site: Site) -> SiteRow:
    valid = [c for c in site.certificates.all() if c.revoked_at is None]
    newest = max(valid, key=lambda certificate: certificate.created_at, default=None)
    return SiteRow(
        name=site.name,
        organization=site.organization.slug,
        last_seen_at=site.last_seen_at,
        fingerprint="" if newest is None else newest.fingerprint,
        certificate_until=None if newest is None else newest.not_after,
    )
