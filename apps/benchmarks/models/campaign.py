"""A campaign: its spec, who may take part, when it is due."""

from __future__ import annotations

from functools import cached_property, lru_cache

from django.db import models

from apps.common.models import Model
from apps.common.scopes import RowLevel, Scope
from apps.common.signed import Answer
from apps.keys.selectors import epoch_by_digest
from federated.protocol.agreement import CampaignAgreement
from federated.wire.base import canonical
from federated.wire.campaign import CampaignApproval, CampaignSpec

# The policy of participants asks about its own table, so the look-up steps out of it.
IN_CAMPAIGN = """
CREATE OR REPLACE FUNCTION fsc_in_campaign(campaign uuid, organization text) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS
$$ SELECT EXISTS (SELECT 1 FROM public.benchmarks_campaignparticipant p
                  WHERE p.campaign_id = campaign AND p.organization = $2) $$
"""


class InCampaign(RowLevel):
    """Rows of a campaign, for the organizations that may take part in it."""

    predicate = "fsc_in_campaign(campaign_id, (SELECT fsc_organization_slug()))"
    functions = (IN_CAMPAIGN,)


@lru_cache(maxsize=256)
def _spec(content: bytes) -> CampaignSpec:
    return CampaignSpec.parse(content)


class Campaign(Model):
    """One benchmark across organizations; ``id`` is the spec's ``campaign_id``.

    active -> ended | cancelled. ``next_run_at`` says when it is due (None: never again), ``reason``
    what it waits for, or why it ended. A changed spec begins with no approval.
    """

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        ENDED = "ended", "Ended"
        CANCELLED = "cancelled", "Cancelled"

    ENDED = (State.ENDED, State.CANCELLED)

    class RowLevel(InCampaign):
        predicate = "fsc_in_campaign(id, (SELECT fsc_organization_slug()))"

    scope = Scope.SHARED

    spec = models.JSONField()
    spec_digest = models.CharField(max_length=64, unique=True)
    creator = models.CharField(max_length=41, help_text="an organization, or operator")
    title = models.CharField(max_length=120)
    state = models.CharField(max_length=10, choices=State, default=State.ACTIVE)
    reason = models.CharField(max_length=1000, blank=True, default="")
    next_run_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "next_run_at"], name="benchmarks_campaign_due")]

    def __str__(self) -> str:
        return self.title

    @cached_property
    def wire(self) -> CampaignSpec:
        return _spec(canonical(self.spec))

    @cached_property
    def agreement(self) -> CampaignAgreement:
        """The present spec with the key that it pins, which is read once."""
        return CampaignAgreement(self.wire, epoch_by_digest(self.wire.key_epoch))

    @property
    def ended(self) -> bool:
        return self.state in self.ENDED

    def slugs(self) -> list[str]:
        """The participants' organizations, in the spec's order."""
        return [participant.organization for participant in self.wire.participants]


class CampaignParticipant(Answer):
    """An organization's part in a campaign, and its answer to the present spec."""

    RowLevel = InCampaign
    approves = CampaignApproval

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="participants")

    class Meta(Answer.Meta):
        verbose_name = "campaign participant"
        constraints = [
            models.UniqueConstraint(
                fields=["campaign", "organization"], name="campaign_participant_once"
            )
        ]
        indexes = [models.Index(fields=["organization", "state"], name="campaign_answer")]
