"""A campaign's run: one row each, from its opening to its release or its end."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property

from django.db import models

from apps.benchmarks.models.campaign import Campaign, InCampaign, _spec
from apps.common.models import Model
from apps.common.scopes import Scope
from apps.keys.selectors import epoch_by_digest
from federated.protocol.agreement import CampaignAgreement
from federated.wire.base import canonical
from federated.wire.campaign import (
    CampaignContext,
    CampaignRelease,
    CampaignSpec,
    NoisedCohort,
    SubmissionCohort,
)


class Run(Model):
    """One run of a campaign, by the spec and the approvals that it opened with.

    open -> charging (closed: the cohort is fixed) -> noising (all members charged) -> decrypting
    (t trustees' noise is fixed) -> released; abandoned from any of them. ``deadline`` is the
    present state's.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        CHARGING = "charging", "Charging"
        NOISING = "noising", "Noising"
        DECRYPTING = "decrypting", "Decrypting"
        RELEASED = "released", "Released"
        ABANDONED = "abandoned", "Abandoned"

    GOING = (State.OPEN, State.CHARGING, State.NOISING, State.DECRYPTING)

    ENDED = (State.RELEASED, State.ABANDONED)

    RowLevel = InCampaign
    scope = Scope.SHARED

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    reason = models.CharField(max_length=1000, blank=True, default="")
    spec = models.JSONField()
    approvals = models.JSONField(help_text="signed approvals by organization, at the opening")
    context = models.JSONField()
    context_digest = models.CharField(max_length=64, unique=True)
    cohort = models.JSONField(null=True)
    cohort_digest = models.CharField(max_length=64, blank=True, default="")
    noised = models.JSONField(null=True)
    noised_digest = models.CharField(max_length=64, blank=True, default="")
    product = models.JSONField(null=True, help_text="what is decrypted, base64url")
    release = models.JSONField(null=True)
    opened_at = models.DateTimeField()
    deadline = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    charged_at = models.DateTimeField(null=True, blank=True)
    noised_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    abandoned_at = models.DateTimeField(null=True, blank=True)
    expired_at = models.DateTimeField(
        null=True, blank=True, help_text="when submissions and noise were deleted"
    )
    leased_until = models.DateTimeField(null=True, blank=True)
    """A worker combines shares until then; after it, another may."""

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["campaign", "number"], name="run_number_once"),
            models.UniqueConstraint(
                fields=["campaign"],
                condition=models.Q(state__in=["open", "charging", "noising", "decrypting"]),
                name="run_one_open",
            ),
        ]
        indexes = [models.Index(fields=["state", "deadline"], name="benchmarks_run_due")]

    def __str__(self) -> str:
        return f"run {self.number}"

    @cached_property
    def wire(self) -> CampaignSpec:
        return _spec(canonical(self.spec))

    @cached_property
    def agreement(self) -> CampaignAgreement:
        """The spec that this run opened with, with the key that it pins."""
        return CampaignAgreement(self.wire, epoch_by_digest(self.wire.key_epoch))

    @property
    def wire_context(self) -> CampaignContext:
        return CampaignContext.parse(self.context)

    @property
    def wire_cohort(self) -> SubmissionCohort | None:
        return None if self.cohort is None else SubmissionCohort.parse(self.cohort)

    @property
    def wire_noised(self) -> NoisedCohort | None:
        return None if self.noised is None else NoisedCohort.parse(self.noised)

    @property
    def wire_release(self) -> CampaignRelease | None:
        return None if self.release is None else CampaignRelease.parse(self.release)

    @property
    def going(self) -> bool:
        return self.state in self.GOING

    @property
    def ended_at(self) -> datetime | None:
        return self.released_at or self.abandoned_at

    @property
    def members(self) -> list[str]:
        """The cohort's organizations; empty before the close."""
        return sorted(self.cohort["members"]) if self.cohort else []

    @property
    def invited(self) -> list[str]:
        """Who approved the spec that this run opened with, and so may submit."""
        return sorted(self.approvals)
