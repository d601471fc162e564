"""A campaign: what benchmarks add to an agreement."""

from __future__ import annotations

from django.db import models

from apps.attempts.models import OWN_ROW, Agreement


class Campaign(Agreement):
    """One benchmark across organizations; ``id`` is the spec's ``campaign_id``.

    active -> ended | cancelled. ``next_run_at`` says when it is due (None: never again). A changed
    spec begins with no approval; each run keeps the spec and the approvals that it opened with.
    """

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        ENDED = "ended", "Ended"
        CANCELLED = "cancelled", "Cancelled"

    class RowLevel(Agreement.RowLevel):
        predicate = OWN_ROW

    title = models.CharField(max_length=120)
    next_run_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["next_run_at"], name="benchmarks_campaign_due")]

    def __str__(self) -> str:
        return self.title
