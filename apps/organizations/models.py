"""Organizations (the tenants), their sites, and the certificates that sites prove themselves by."""

from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django_tenants.models import DomainMixin, TenantMixin

from apps.common import scopes
from apps.common.models import Model
from apps.common.scopes import Scope

SLUG_PATTERN = r"^[a-z][a-z0-9_]{1,40}$"
OWN = "organization_id = (SELECT fsc_organization_id())"


class Organization(Model, TenantMixin):
    """A member of the consortium: a schema and a database role, both named ``t_<slug>``."""

    class State(models.TextChoices):
        PREPARING = "preparing", "Preparing"
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"

    class RowLevel(scopes.RowLevel):
        # Who the members are is known to all members; nobody but an operator admits one.
        predicate = "true"

    scope = Scope.SHARED
    auto_create_schema = False
    auto_drop_schema = False

    slug = models.CharField(
        max_length=41,
        unique=True,
        validators=[RegexValidator(SLUG_PATTERN, f"A slug matches {SLUG_PATTERN}.")],
    )
    name = models.CharField(max_length=120)
    state = models.CharField(max_length=16, choices=State, default=State.PREPARING)
    virtual = models.BooleanField(
        default=False, help_text="simulated, for demonstrations: labelled wherever it is shown"
    )

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class Domain(Model, DomainMixin):
    """django-tenants asks for it. Empty: organizations are found by path or certificate."""

    scope = Scope.SHARED


class Site(Model):
    """An organization's agent, on the machine of its private data."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        REVOKED = "revoked", "Revoked"

    class RowLevel(scopes.RowLevel):
        # Keys of the other sites are pinned in a job's spec, so every member may read them.
        predicate = "true"
        write = OWN

    scope = Scope.SHARED

    organization = models.ForeignKey(Organization, models.PROTECT, related_name="sites")
    name = models.CharField(max_length=80)
    encryption_key = models.BinaryField(max_length=32, help_text="X25519 public key, 32 bytes")
    state = models.CharField(max_length=16, choices=State, default=State.ACTIVE)
    last_seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["organization", "name"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="site_name_unique"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def certificate(self) -> SiteCertificate | None:
        """The one that is valid now; the newest if there are two during a renewal."""
        return self.certificates.filter(revoked_at=None).order_by("-created_at").first()


class SiteCertificate(Model):
    """A certificate that the consortium's CA issued; looked up at every request of a site."""

    class RowLevel(scopes.RowLevel):
        predicate = "true"

    scope = Scope.SHARED

    site = models.ForeignKey(Site, models.PROTECT, related_name="certificates")
    fingerprint = models.CharField(
        max_length=64, unique=True, help_text="SHA-256 of the certificate's DER, hexadecimal"
    )
    key_id = models.CharField(
        max_length=64, db_index=True, help_text="SHA-256 of the key's SubjectPublicKeyInfo DER"
    )
    serial = models.CharField(max_length=40, unique=True, help_text="hexadecimal")
    pem = models.TextField()
    not_after = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.fingerprint[:16]


class JoinToken(Model):
    """A one-time admission of a site; only the secret's hash is stored."""

    class RowLevel(scopes.RowLevel):
        predicate = OWN
        write = OWN

    scope = Scope.SHARED

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="join_tokens")
    secret_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256, hexadecimal")
    site_name = models.CharField(max_length=80)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    certificate = models.OneToOneField(
        SiteCertificate, models.PROTECT, null=True, blank=True, related_name="join_token"
    )

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.organization} {self.site_name}"
