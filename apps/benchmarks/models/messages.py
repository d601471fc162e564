"""What sites send for a run, as they signed it."""

from __future__ import annotations

from django.db import models

from apps.benchmarks.models.campaign import IN_CAMPAIGN
from apps.benchmarks.models.run import Run
from apps.common.models import Model
from apps.common.scopes import RowLevel, Scope
from apps.common.signed import SignedMessage
from federated.wire import campaign as wire
from federated.wire import round as wire_round

# Not through the run's own policy: SECURITY DEFINER, as for the campaign.
RUN_IN_CAMPAIGN = """
CREATE OR REPLACE FUNCTION fsc_run_in_campaign(run uuid, organization text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
$$ SELECT EXISTS (SELECT 1 FROM public.benchmarks_run r
                  JOIN public.benchmarks_campaignparticipant p ON p.campaign_id = r.campaign_id
                  WHERE r.id = run AND p.organization = $2) $$
"""


class OfParticipants(RowLevel):
    """Rows of a run, for the organizations that may take part in its campaign."""

    predicate = "fsc_run_in_campaign(run_id, (SELECT fsc_organization_slug()))"
    functions = (IN_CAMPAIGN, RUN_IN_CAMPAIGN)


class RunMessage(SignedMessage):
    """A signed message of an organization for a run."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="%(class)ss")

    class Meta(SignedMessage.Meta):
        abstract = True


def _once(name: str) -> list[models.UniqueConstraint]:
    return [models.UniqueConstraint(fields=["run", "organization"], name=name)]


class Submission(RunMessage):
    """``replaces`` names the submission that stood here before, if one did.

    ``content``, as that of noise, is empty once the run's retention is over.
    """

    RowLevel = OfParticipants
    wire = wire.Submission

    replaces = models.CharField(max_length=64, blank=True, default="")

    class Meta(RunMessage.Meta):
        constraints = _once("submission_once")


class RunReceipt(RunMessage):
    RowLevel = OfParticipants
    wire = wire_round.ChargeReceipt

    class Meta(RunMessage.Meta):
        verbose_name = "charge receipt"
        constraints = _once("run_receipt_once")


class Noise(RunMessage):
    RowLevel = OfParticipants
    wire = wire.TrusteeNoise

    class Meta(RunMessage.Meta):
        verbose_name = "noise"
        constraints = _once("noise_once")


class RunShare(RunMessage):
    RowLevel = OfParticipants
    wire = wire_round.DecryptionShare

    class Meta(RunMessage.Meta):
        verbose_name = "share"
        constraints = _once("run_share_once")


class RunRefusal(RunMessage):
    """Evidence; ``counts`` where it refuses this very run and cohort."""

    RowLevel = OfParticipants
    wire = wire_round.Refusal

    reason = models.CharField(max_length=40)
    detail = models.CharField(max_length=500, blank=True, default="")
    counts = models.BooleanField(default=True)

    class Meta(RunMessage.Meta):
        verbose_name = "refusal"
        constraints = [
            models.UniqueConstraint(
                fields=["run", "organization", "digest"], name="run_refusal_once"
            )
        ]


class RunVerdict(RunMessage):
    RowLevel = OfParticipants
    wire = wire_round.Verdict

    agrees = models.BooleanField()
    detail = models.CharField(max_length=500, blank=True, default="")

    class Meta(RunMessage.Meta):
        verbose_name = "verdict"
        constraints = _once("run_verdict_once")


class SubmissionReceipt(Model):
    """In the organization's own schema: what the portal took from its site, and when."""

    scope = Scope.TENANT

    campaign_id = models.UUIDField()
    run = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)
    replaces = models.CharField(max_length=64, blank=True, default="")
    size = models.PositiveIntegerField(help_text="bytes")

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "submission receipt"
        constraints = [
            models.UniqueConstraint(
                fields=["campaign_id", "run", "digest"], name="submission_receipt_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.campaign_id} {self.run}"
