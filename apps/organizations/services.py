"""Admission: organizations, join tokens, sites and their certificates."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from django_tenants.utils import quote_schema_name, schema_exists, tenant_context

from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.common.requests import tenant_connection
from apps.organizations import ca
from apps.organizations.models import (
    SLUG_PATTERN,
    JoinToken,
    Organization,
    Site,
    SiteCertificate,
)
from apps.organizations.tokens import Token
from apps.provenance.services import consortium_event_record, event_record
from apps.provenance.tags import Tag
from federated.crypto.signatures import key_fingerprint
from federated.errors import Conflict, InvalidInput, NotAuthenticated

TOKEN_LIFE = timedelta(hours=24)
SITE_NAME = "main"
SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Joined:
    site: Site
    certificate: SiteCertificate
    ca_pem: str


def _record(organization: Organization, **fields: Any) -> None:
    """Records an admission in both logs: the organization's own and the consortium's."""
    with tenant_context(organization):
        event_record(**fields)
    consortium_event_record(**fields)


def organization_create(*, slug: str, name: str, actor: Actor) -> Organization:
    """Admit an organization: its row, schema, database role, tables and grants.

    The owner's work: the application's role may not make schemas. A call that was cut short is
    finished by the next one. Raises InvalidInput for a slug or name that is not allowed, Conflict
    for an organization that is there already.
    """
    if not re.fullmatch(SLUG_PATTERN, slug):
        raise InvalidInput(f"slug {slug!r}: must match {SLUG_PATTERN}", field="slug")
    if not 1 <= len(name) <= 120:
        raise InvalidInput("name: must have 1 to 120 characters", field="name")
    schema = f"t_{slug}"
    with transaction.atomic():
        organization, _ = Organization.objects.get_or_create(
            slug=slug, defaults={"name": name, "schema_name": schema}
        )
        if organization.state != Organization.State.PREPARING:
            raise Conflict(f"The organization {slug} exists already.")
        if not schema_exists(schema):
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {quote_schema_name(schema)}")
    # Makes the tables, then the role and its grants.
    call_command("migrate_schemas", tenant=True, schema_name=schema, interactive=False, verbosity=0)
    tenant_connection().set_schema_to_public()
    with transaction.atomic():
        preparing = Organization.objects.filter(
            pk=organization.pk, state=Organization.State.PREPARING
        )
        if preparing.update(state=Organization.State.ACTIVE):
            _record(
                organization,
                tag=Tag.ORGANIZATION_CREATED,
                actor=actor,
                subject=("organization", slug),
                data={"name": organization.name},
            )
    organization.refresh_from_db()
    return organization


@transaction.atomic
def join_token_issue(
    *,
    organization: Organization,
    actor: Actor,
    site_name: str = SITE_NAME,
    life: timedelta = TOKEN_LIFE,
) -> str:
    """Returns a token that admits one site once. Its text is not stored."""
    if organization.state != Organization.State.ACTIVE:
        raise Conflict(f"The organization {organization.slug} is {organization.state}.")
    if not 1 <= len(site_name) <= 80:
        raise InvalidInput("site_name: must have 1 to 80 characters", field="site_name")
    token = Token.new(slug=organization.slug, ca_fingerprint=ca.ca_fingerprint())
    row = JoinToken.objects.create(
        organization=organization,
        secret_hash=token.secret_hash,
        site_name=site_name,
        expires_at=timezone.now() + life,
    )
    _record(
        organization,
        tag=Tag.JOIN_TOKEN_ISSUED,
        actor=actor,
        subject=("join_token", row.pk),
        data={"site": site_name, "expires_at": row.expires_at.isoformat()},
    )
    return str(token)


@transaction.atomic
def site_join(*, token: str, csr_pem: str, encryption_key: bytes) -> Joined:
    """Admit the site that holds ``token``; ``encryption_key`` is an X25519 key of 32 bytes.

    The same key with the same token again gets the same certificate, so that a lost answer does
    not lose the site. A site of that name that joined before is replaced: its certificates are
    revoked. Raises NotAuthenticated for a token that is unknown or expired, Conflict for one that
    another key has used, InvalidInput for a bad request; none of them uses the token up.
    """
    parsed = Token.parse(token)
    row = (
        JoinToken.objects.select_related("organization", "certificate__site")
        .filter(secret_hash=parsed.secret_hash, organization__slug=parsed.slug)
        .first()
    )
    if row is None or row.organization.state != Organization.State.ACTIVE:
        raise NotAuthenticated("The join token is not known here.")
    csr = ca.request_read(csr_pem, row.organization.slug)
    if len(encryption_key) != 32 or not any(encryption_key):
        raise InvalidInput("encryption_key: must be 32 bytes (X25519)", field="encryption_key")
    now = timezone.now()
    open_token = JoinToken.objects.filter(pk=row.pk, used_at=None, expires_at__gt=now)
    if open_token.update(used_at=now) != 1:
        return _join_again(row, csr, encryption_key)
    site = _site_admit(row, encryption_key)
    certificate = _certificate_issue(site, csr)
    JoinToken.objects.filter(pk=row.pk).update(certificate=certificate)
    _record(
        row.organization,
        tag=Tag.SITE_JOINED,
        actor=Actor("site", certificate.fingerprint, site.name, row.organization.slug),
        subject=("site", site.pk),
        digests={"certificate": certificate.fingerprint, "key": certificate.key_id},
        data={"not_after": certificate.not_after.isoformat()},
    )
    return Joined(site, certificate, ca.certificate_pem())


def _join_again(row: JoinToken, csr: Any, encryption_key: bytes) -> Joined:
    """The answer to a token that is not open: the same as before, or why not."""
    row = JoinToken.objects.select_related("certificate__site__organization").get(pk=row.pk)
    key = csr.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    certificate = row.certificate
    if certificate is None:
        raise NotAuthenticated("The join token has expired; ask for a new one.")
    same = certificate.key_id == key_fingerprint(key)
    if not same or bytes(certificate.site.encryption_key) != encryption_key:
        raise Conflict("The join token has been used already; ask for a new one.")
    return Joined(certificate.site, certificate, ca.certificate_pem())


def _site_admit(row: JoinToken, encryption_key: bytes) -> Site:
    site, created = Site.objects.get_or_create(
        organization=row.organization,
        name=row.site_name,
        defaults={"encryption_key": encryption_key},
    )
    if not created:
        Site.objects.filter(pk=site.pk).update(
            encryption_key=encryption_key, state=Site.State.ACTIVE
        )
        site.refresh_from_db()
        for old in site.certificates.filter(revoked_at=None):
            certificate_revoke(certificate=old, reason=SUPERSEDED, actor=Actor.system("join"))
    return site


def _certificate_issue(site: Site, csr: Any) -> SiteCertificate:
    issued = ca.site_issue(csr, site.organization.slug)
    return SiteCertificate.objects.create(
        site=site,
        fingerprint=issued.fingerprint,
        key_id=issued.key_id,
        serial=issued.serial,
        pem=issued.pem,
        not_after=issued.not_after,
    )


def certificate_renew(
    *, certificate: SiteCertificate, csr_pem: str, actor: Actor
) -> SiteCertificate:
    """The next certificate of a site's key, once half of the present one's life is over.

    Before that, and again after a lost answer, the newest one stands. The present one is valid
    until its own end: the site may die before it keeps the next. Raises InvalidInput for a request
    that is none or for another key: specs and key epochs pin the key, so that a new one is a new
    admission.
    """
    with as_coordinator(), transaction.atomic():
        site = Site.objects.select_for_update().get(pk=certificate.site_id)
        csr = ca.request_read(csr_pem, site.organization.slug)
        key = csr.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        if key_fingerprint(key) != certificate.key_id:
            raise InvalidInput("csr: must be for the key of the present certificate", field="csr")
        own = site.certificates.filter(key_id=certificate.key_id, revoked_at=None)
        newest = own.latest("not_after")
        if newest.not_after - timezone.now() > ca.SITE_LIFE / 2:
            return newest
        renewed = _certificate_issue(site, csr)
        _record(
            site.organization,
            tag=Tag.CERTIFICATE_ISSUED,
            actor=actor,
            subject=("site", site.pk),
            digests={"certificate": renewed.fingerprint, "key": renewed.key_id},
            data={"not_after": renewed.not_after.isoformat()},
        )
        return renewed


@transaction.atomic
def certificate_revoke(*, certificate: SiteCertificate, reason: str, actor: Actor) -> None:
    """End a certificate now; a second time does nothing. The web server's list follows."""
    valid = SiteCertificate.objects.filter(pk=certificate.pk, revoked_at=None)
    if valid.update(revoked_at=timezone.now(), revoked_reason=reason[:200]) != 1:
        return
    _record(
        certificate.site.organization,
        tag=Tag.CERTIFICATE_REVOKED,
        actor=actor,
        subject=("certificate", certificate.fingerprint),
        data={"reason": reason[:200]},
    )
    transaction.on_commit(crl_publish)


def crl_publish() -> None:
    """Write the list of revoked certificates that have not expired by themselves."""
    revoked = SiteCertificate.objects.filter(revoked_at__isnull=False, not_after__gt=timezone.now())
    ca.crl_write((row.serial, row.revoked_at) for row in revoked if row.revoked_at is not None)
