"""Dealt threshold keys: public messages, shares sealed to their sites, sites' confirmations."""

from __future__ import annotations

from django.db import models

from apps.common.models import Model
from apps.common.scopes import RowLevel, Scope
from federated.wire import key as wire
from federated.wire.base import Signed


class KeyEpoch(Model):
    """One dealt key: pending until every trustee has confirmed its share, then active."""

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        ACTIVE = "active", "Active"
        RETIRED = "retired", "Retired"

    class RowLevel(RowLevel):
        predicate = "true"

    scope = Scope.SHARED

    number = models.PositiveIntegerField(unique=True)
    digest = models.CharField(max_length=64, unique=True)
    message = models.JSONField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    activated_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        verbose_name = "key epoch"

    def __str__(self) -> str:
        return f"{self.number} ({self.state})"

    @property
    def wire(self) -> wire.KeyEpoch:
        return wire.KeyEpoch.parse(self.message)


class SealedShare(Model):
    """A trustee's share; only its site opens it."""

    class RowLevel(RowLevel):
        predicate = "organization = (SELECT fsc_organization_slug())"

    scope = Scope.SHARED

    epoch = models.ForeignKey(KeyEpoch, models.CASCADE, related_name="shares")
    organization = models.CharField(max_length=41)
    message = models.JSONField()

    class Meta:
        ordering = ["organization"]
        verbose_name = "sealed share"
        constraints = [
            models.UniqueConstraint(fields=["epoch", "organization"], name="sealed_share_one_each")
        ]

    def __str__(self) -> str:
        return f"share of {self.organization}"

    @property
    def wire(self) -> wire.SealedShare:
        return wire.SealedShare.parse(self.message)


class KeyConfirmation(Model):
    """A site's signed word that its share opens and matches the key."""

    class RowLevel(RowLevel):
        predicate = "true"

    scope = Scope.SHARED

    epoch = models.ForeignKey(KeyEpoch, models.CASCADE, related_name="confirmations")
    organization = models.CharField(max_length=41)
    message = models.JSONField()
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ["organization"]
        verbose_name = "key confirmation"
        constraints = [
            models.UniqueConstraint(
                fields=["epoch", "organization"], name="key_confirmation_one_each"
            )
        ]

    def __str__(self) -> str:
        return f"confirmation by {self.organization}"

    @property
    def wire(self) -> Signed[wire.KeyConfirmation]:
        return Signed[wire.KeyConfirmation].parse(self.message)
