"""Reads of keys and of the roster that a key is dealt to."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from apps.aggregation.models import KeyEpoch, SealedShare
from apps.common.selectors import get_for
from apps.organizations.models import SiteCertificate
from apps.organizations.public_keys import public_key_of
from apps.organizations.selectors import sites_active
from federated.errors import NotFound
from federated.wire import key as wire
from federated.wire.base import encode_bytes


def roster() -> wire.Roster:
    """Every active site with a valid certificate, by organization: what a dealer seals to.

    An organization's first site stands for it.
    """
    sites: dict[str, wire.RosterSite] = {}
    certificates = (
        SiteCertificate.objects.filter(
            site__in=sites_active(), revoked_at=None, not_after__gt=timezone.now()
        )
        .select_related("site__organization")
        .order_by("site__created_at", "-created_at")
    )
    for certificate in certificates:
        slug = certificate.site.organization.slug
        if slug not in sites:
            sites[slug] = wire.RosterSite(
                organization=slug,
                public_key=public_key_of(certificate.pem),
                encryption_key=encode_bytes(bytes(certificate.site.encryption_key)),
            )
    ordered = tuple(sites[slug] for slug in sorted(sites))
    return wire.Roster(consortium=settings.FSC_CONSORTIUM, sites=ordered)


def key_epoch_current() -> KeyEpoch:
    """The newest key that is not retired. Raises NotFound before the first ceremony."""
    found = KeyEpoch.objects.exclude(state=KeyEpoch.State.RETIRED).order_by("-number").first()
    if found is None:
        raise NotFound("No key has been dealt yet.")
    return found


def key_epoch_get(*, digest: str) -> KeyEpoch:
    """Raises NotFound."""
    return get_for(KeyEpoch.objects.all(), digest=digest)


def sealed_share_of(*, epoch: KeyEpoch, organization: str) -> SealedShare | None:
    return epoch.shares.filter(organization=organization).first()


def keys_to_confirm(*, organization: str) -> list[str]:
    """Digests of the epochs whose share this organization has not confirmed."""
    return list(
        KeyEpoch.objects.exclude(state=KeyEpoch.State.RETIRED)
        .filter(shares__organization=organization)
        .exclude(confirmations__organization=organization)
        .order_by("number")
        .values_list("digest", flat=True)
    )
