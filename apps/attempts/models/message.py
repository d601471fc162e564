"""What sites send for an attempt, as they signed it."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from apps.attempts.models.attempt import Attempt, OfAttempt
from apps.common.models import Model
from apps.common.scopes import Scope
from federated.wire.base import Signed


class AttemptMessage(Model):
    """A signed message of an organization for an attempt: canonical bytes, and their digest.

    One of each name and organization; a refusal is evidence, of which there may be several.
    ``content`` of ciphertexts is empty once retention is over; ``expired`` says what it was.
    """

    RowLevel = OfAttempt
    scope = Scope.SHARED

    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="messages")
    name = models.CharField(max_length=20, help_text="the protocol's name of it")
    organization = models.CharField(max_length=41)
    content = models.BinaryField(help_text="the signed envelope, RFC 8785")
    digest = models.CharField(max_length=64)
    replaces = models.CharField(
        max_length=64, blank=True, default="", help_text="the contribution that stood here before"
    )
    agrees = models.BooleanField(null=True, help_text="a verdict's word")
    reason = models.CharField(max_length=40, blank=True, default="", help_text="a refusal's")
    detail = models.CharField(max_length=500, blank=True, default="")
    counts = models.BooleanField(
        default=True, help_text="a refusal of this attempt and its cohort, not of something else"
    )
    expired = models.JSONField(null=True)

    class Meta:
        ordering = ["organization", "created_at"]
        verbose_name = "message"
        constraints = [
            models.UniqueConstraint(
                fields=["attempt", "name", "organization"],
                condition=~Q(name="refusal"),
                name="message_once",
            ),
            models.UniqueConstraint(
                fields=["attempt", "organization", "digest"],
                condition=Q(name="refusal"),
                name="refusal_once",
            ),
        ]
        indexes = [models.Index(fields=["organization", "name"], name="attempts_message_of")]

    def __str__(self) -> str:
        return f"{self.name} of {self.organization}"

    @property
    def signed(self) -> Any:
        wire = self.attempt.agreement.played.messages[self.name].wire
        return Signed[wire].parse(bytes(self.content))  # type: ignore[valid-type]


class ContributionReceipt(Model):
    """In the organization's own schema: what the portal took from its site, and when."""

    scope = Scope.TENANT

    agreement_id = models.UUIDField()
    number = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    replaces = models.CharField(max_length=64, blank=True, default="")
    size = models.PositiveIntegerField(help_text="bytes")

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "contribution receipt"
        indexes = [
            # Not unique: what was replaced may come back in the place of its replacement.
            models.Index(
                fields=["agreement_id", "number", "attempt", "digest"],
                name="contribution_receipt",
            )
        ]

    def __str__(self) -> str:
        return f"{self.agreement_id} {self.number}/{self.attempt}"
