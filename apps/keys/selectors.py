"""Reads of keys and of the roster that a key is dealt to."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings
from django.utils import timezone

from apps.common.selectors import get_for
from apps.keys.models import KeyEpoch, SealedShare
from apps.organizations.models import SiteCertificate
from apps.organizations.public_keys import public_key_of
from apps.organizations.selectors import sites_active
from federated.errors import InvalidInput, NotFound
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
    """The key that new jobs use: the active one, or the newest that is still to be confirmed.

    Raises NotFound before the first ceremony, and where the last key is retired.
    """
    for state in (KeyEpoch.State.ACTIVE, KeyEpoch.State.PENDING):
        found = KeyEpoch.objects.filter(state=state).order_by("-number").first()
        if found is not None:
            return found
    raise NotFound("There is no key for new jobs: none was dealt, or the last one is retired.")


def key_epoch_get(*, digest: str) -> KeyEpoch:
    """Raises NotFound."""
    return get_for(KeyEpoch.objects.all(), digest=digest)


@lru_cache(maxsize=16)
def epoch_by_digest(digest: str) -> wire.KeyEpoch:
    """A key epoch as a message, parsed once: its digest fixes every bit of it. Raises NotFound."""
    return key_epoch_get(digest=digest).wire


def check_open(row: KeyEpoch | None, digest: str) -> KeyEpoch:
    """The key, if new work may name it. Raises InvalidInput."""
    if row is None or row.state not in KeyEpoch.OPEN:
        known = row.state if row is not None else "not known"
        raise InvalidInput(f"key_epoch: {digest[:16]} is {known}; ask for the current key")
    return row


def sealed_share_of(*, epoch: KeyEpoch, organization: str) -> SealedShare | None:
    return epoch.shares.filter(organization=organization).first()


def keys_to_confirm(*, organization: str) -> list[str]:
    """Digests of the epochs whose share this organization has not confirmed."""
    return list(
        KeyEpoch.objects.filter(state__in=KeyEpoch.USABLE, shares__organization=organization)
        .exclude(confirmations__organization=organization)
        .order_by("number")
        .values_list("digest", flat=True)
    )


def keys_to_retire(*, organization: str) -> list[str]:
    """Digests of the retired epochs whose share this organization has not yet said is destroyed.

    Not those dealt to a site before it joined again: its new key cannot sign for the old one.
    """
    waiting = (
        KeyEpoch.objects.filter(state=KeyEpoch.State.RETIRED, shares__organization=organization)
        .exclude(retirements__organization=organization)
        .order_by("number")
    )
    mine = _public_keys(organization) if waiting else set()
    trustees = [(epoch.digest, epoch.wire.trustee(organization)) for epoch in waiting]
    return [digest for digest, trustee in trustees if trustee and trustee.public_key in mine]


def _public_keys(organization: str) -> set[str]:
    certificates = SiteCertificate.objects.filter(
        site__in=sites_active().filter(organization__slug=organization), revoked_at=None
    )
    return {public_key_of(pem) for pem in certificates.values_list("pem", flat=True)}
