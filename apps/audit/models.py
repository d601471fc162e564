"""Verifications that the portal runs for its readers."""

from __future__ import annotations

from django.db import models

from apps.common import scopes
from apps.common.models import Model
from apps.common.scopes import Scope


class Verification(Model):
    """One run of the offline verifier, asked by a member; its checks appear as they finish.

    A worker holds it until ``leased_until``; ``attempts`` counts the workers that took it, and what
    an earlier one still writes counts no more.
    """

    class RowLevel(scopes.RowLevel):
        predicate = "organization = (SELECT fsc_organization_slug())"

    scope = Scope.SHARED

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    class Kind(models.TextChoices):
        JOB = "job"
        CAMPAIGN = "campaign"
        FILE = "file"

    organization = models.CharField(max_length=41)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    subject = models.CharField(max_length=200, help_text="an id, or the file's name")
    key = models.CharField(max_length=255, blank=True, default="", help_text="the file in storage")
    asked_by = models.CharField(max_length=254)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    checks = models.JSONField(default=list, help_text="name, status, detail of each")
    failed = models.PositiveIntegerField(default=0, help_text="checks that failed, once done")
    error = models.TextField(blank=True, default="", help_text="why there is no result")
    digest = models.CharField(max_length=64, blank=True, default="", help_text="of the bundle")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization"],
                condition=models.Q(state__in=["queued", "running"]),
                name="verification_open_once",
            ),
            # Verifying is minutes of a processor, and rounds need the workers too.
            models.UniqueConstraint(
                fields=["state"],
                condition=models.Q(state="running"),
                name="verification_one_runs",
            ),
        ]

    def __str__(self) -> str:
        return f"verification of {self.kind} {self.subject} ({self.state})"

    @property
    def is_over(self) -> bool:
        return self.state in (self.State.DONE, self.State.FAILED)

    def count(self, status: str) -> int:
        """Count the checks of a status: ``ok``, ``failed`` or ``skipped``."""
        return sum(check["status"] == status for check in self.checks)
