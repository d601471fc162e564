"""Dealt threshold keys: public messages, sealed shares, and what the sites say of theirs."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from apps.common import scopes
from apps.common.models import Model
from apps.common.scopes import Scope
from federated.wire import key as wire


class KeyEpoch(Model):
    """One dealt key, from its ceremony to the end of its shares.

    pending until every trustee has confirmed its share; active, the one that new jobs use;
    superseded by a newer one, its jobs go on; retired, no job uses it and sites are asked to
    destroy their shares; destroyed, every trustee has said that it did.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        ACTIVE = "active", "Active"
        SUPERSEDED = "superseded", "Superseded"
        RETIRED = "retired", "Retired"
        DESTROYED = "destroyed", "Destroyed"

    #: From which states each is reached; ``services._move`` is the only way.
    REACHED_FROM: ClassVar[dict[str, tuple[str, ...]]] = {
        State.ACTIVE: (State.PENDING,),
        State.SUPERSEDED: (State.PENDING, State.ACTIVE),
        State.RETIRED: (State.PENDING, State.ACTIVE, State.SUPERSEDED),
        State.DESTROYED: (State.RETIRED,),
    }
    #: New jobs may name it; a job under a pending one waits.
    OPEN = (State.PENDING, State.ACTIVE)
    #: Its shares may still exist, and be used.
    USABLE = (*OPEN, State.SUPERSEDED)

    class RowLevel(scopes.RowLevel):
        predicate = "true"

    scope = Scope.SHARED

    number = models.PositiveIntegerField(unique=True)
    digest = models.CharField(max_length=64, unique=True)
    message = models.JSONField()
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    activated_at = models.DateTimeField(null=True, blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)
    retired_at = models.DateTimeField(null=True, blank=True)
    destroyed_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True, default="", help_text="of its retirement")

    class Meta:
        ordering = ["-number"]
        verbose_name = "key epoch"

    def __str__(self) -> str:
        return f"{self.number} ({self.state})"

    @property
    def confirmed(self) -> bool:
        """Whether every trustee has confirmed its share, so that work under it may begin."""
        return self.state != self.State.PENDING and self.activated_at is not None

    @property
    def wire(self) -> wire.KeyEpoch:
        return wire.KeyEpoch.parse(self.message)


class SealedShare(Model):
    """A trustee's share; only its site opens it. The message goes when the key retires."""

    class RowLevel(scopes.RowLevel):
        predicate = "organization = (SELECT fsc_organization_slug())"

    scope = Scope.SHARED

    epoch = models.ForeignKey(KeyEpoch, models.CASCADE, related_name="shares")
    organization = models.CharField(max_length=41)
    message = models.JSONField(null=True)

    class Meta:
        ordering = ["organization"]
        verbose_name = "sealed share"
        constraints = [
            models.UniqueConstraint(fields=["epoch", "organization"], name="sealed_share_one_each")
        ]

    def __str__(self) -> str:
        return f"share of {self.organization}"


class KeyConfirmation(Model):
    """A site's signed word that its share opens and matches the key."""

    class RowLevel(scopes.RowLevel):
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


class KeyRetirement(Model):
    """A site's signed word that it destroyed its share of a retired key."""

    class RowLevel(scopes.RowLevel):
        predicate = "true"

    scope = Scope.SHARED

    epoch = models.ForeignKey(KeyEpoch, models.CASCADE, related_name="retirements")
    organization = models.CharField(max_length=41)
    message = models.JSONField()
    digest = models.CharField(max_length=64)

    class Meta:
        ordering = ["organization"]
        verbose_name = "key retirement"
        constraints = [
            models.UniqueConstraint(
                fields=["epoch", "organization"], name="key_retirement_one_each"
            )
        ]

    def __str__(self) -> str:
        return f"retirement by {self.organization}"
