"""What sites send for an attempt, as they signed it."""

from __future__ import annotations

from django.db import models

from apps.common.models import Model
from apps.common.scopes import RowLevel, Scope
from apps.common.signed import SignedMessage
from apps.training.models.job import TAKES_PART
from apps.training.models.round import Round
from federated.wire import round as wire

# Not through the round's own policy: SECURITY DEFINER, as for the job.
ROUND_TAKES_PART = """
CREATE OR REPLACE FUNCTION fsc_round_takes_part(round uuid, organization text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
$$ SELECT EXISTS (SELECT 1 FROM public.training_round r
                  JOIN public.training_jobparticipant p ON p.job_id = r.job_id
                  WHERE r.id = round AND p.organization = $2) $$
"""


class OfParticipants(RowLevel):
    """Rows of an attempt, for the organizations that take part in its job."""

    predicate = "fsc_round_takes_part(round_id, (SELECT fsc_organization_slug()))"
    functions = (TAKES_PART, ROUND_TAKES_PART)


class RoundMessage(SignedMessage):
    """A signed message of an organization for an attempt."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="%(class)ss")

    class Meta(SignedMessage.Meta):
        abstract = True


class Contribution(RoundMessage):
    """``content`` is empty once the job's retention is over; ``expired`` says what it was."""

    RowLevel = OfParticipants
    wire = wire.Contribution

    expired = models.JSONField(null=True)

    class Meta(RoundMessage.Meta):
        constraints = [
            models.UniqueConstraint(fields=["round", "organization"], name="contribution_once")
        ]


class Receipt(RoundMessage):
    RowLevel = OfParticipants
    wire = wire.ChargeReceipt

    class Meta(RoundMessage.Meta):
        constraints = [
            models.UniqueConstraint(fields=["round", "organization"], name="receipt_once")
        ]


class Share(RoundMessage):
    RowLevel = OfParticipants
    wire = wire.DecryptionShare

    class Meta(RoundMessage.Meta):
        constraints = [models.UniqueConstraint(fields=["round", "organization"], name="share_once")]


class Refusal(RoundMessage):
    """Evidence: a site may refuse an attempt more than once, for different reasons.

    ``counts`` where it refuses this attempt and its cohort, not something else it was shown.
    """

    RowLevel = OfParticipants
    wire = wire.Refusal

    reason = models.CharField(max_length=40)
    detail = models.CharField(max_length=500, blank=True, default="")
    counts = models.BooleanField(default=True)

    class Meta(RoundMessage.Meta):
        constraints = [
            models.UniqueConstraint(fields=["round", "organization", "digest"], name="refusal_once")
        ]


class Verdict(RoundMessage):
    RowLevel = OfParticipants
    wire = wire.Verdict

    agrees = models.BooleanField()
    detail = models.CharField(max_length=500, blank=True, default="")

    class Meta(RoundMessage.Meta):
        constraints = [
            models.UniqueConstraint(fields=["round", "organization"], name="verdict_once")
        ]


class ContributionReceipt(Model):
    """In the organization's own schema: what the portal took from its site, and when."""

    scope = Scope.TENANT

    job_id = models.UUIDField()
    round = models.PositiveIntegerField()
    attempt = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    size = models.PositiveIntegerField(help_text="bytes")

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "contribution receipt"
        constraints = [
            models.UniqueConstraint(
                fields=["job_id", "round", "attempt"], name="contribution_receipt_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_id} {self.round}/{self.attempt}"
