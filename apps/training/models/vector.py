"""Masked vectors of an attempt, which lie in storage, and the pieces of their sum."""

from __future__ import annotations

from django.db import models

from apps.attempts.models import Attempt, OfAttempt
from apps.common.models import Model
from apps.common.scopes import Scope


class MaskedVector(Model):
    """One organization's masked vector for an attempt: where it lies, and its SHA-256.

    ``deleted_at`` is set once its bytes are gone; the digest stays.
    """

    RowLevel = OfAttempt
    scope = Scope.SHARED

    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="vectors")
    organization = models.CharField(max_length=41)
    digest = models.CharField(max_length=64)
    size = models.PositiveBigIntegerField(help_text="bytes")
    key = models.CharField(max_length=255, help_text="in the storage of vectors")
    deleted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["organization"]
        verbose_name = "masked vector"
        constraints = [
            models.UniqueConstraint(fields=["attempt", "organization"], name="vector_once")
        ]

    def __str__(self) -> str:
        return f"masked vector of {self.organization}"


class SumPart(Model):
    """A range of coefficients of an attempt's sum, which one worker adds up over all members.

    ``key`` names its bytes in storage once it is done; until ``leased_until`` a worker is at it.
    """

    scope = Scope.SHARED

    attempt = models.ForeignKey(Attempt, models.CASCADE, related_name="sum_parts")
    start = models.PositiveBigIntegerField(help_text="first coefficient")
    words = models.PositiveIntegerField(help_text="coefficients")
    key = models.CharField(max_length=255, blank=True, default="")
    leased_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["start"]
        verbose_name = "part of a sum"
        verbose_name_plural = "parts of sums"
        constraints = [models.UniqueConstraint(fields=["attempt", "start"], name="sum_part_once")]

    def __str__(self) -> str:
        return f"coefficients {self.start} to {self.start + self.words - 1}"
