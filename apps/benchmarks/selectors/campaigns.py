"""Campaigns and runs as one organization may see them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.benchmarks.models import Campaign, CampaignParticipant, Run
from apps.common.selectors import get_for


def campaigns_of(organization: str) -> QuerySet[Campaign]:
    """The campaigns that an organization may take part in, newest first."""
    parts = CampaignParticipant.objects.filter(organization=organization)
    return Campaign.objects.filter(pk__in=parts.values("campaign_id"))


def campaigns_under(digest: str) -> list[str]:
    """The campaigns under a key that have not ended, as people read them."""
    found = Campaign.objects.filter(spec__key_epoch=digest).exclude(state__in=Campaign.ENDED)
    return [f"campaign {pk}" for pk in found.values_list("pk", flat=True)]


def campaign_get_for(*, organization: str, campaign_id: Any) -> Campaign:
    """Raises NotFound for a campaign of others, too."""
    return get_for(campaigns_of(organization), pk=campaign_id)


def run_get_for(*, organization: str, campaign_id: Any, number: int) -> Run:
    """Raises NotFound for a run of others' campaigns, too."""
    campaign = campaign_get_for(organization=organization, campaign_id=campaign_id)
    found = get_for(Run.objects.filter(campaign=campaign), number=number)
    found.campaign = campaign
    return found


def run_last(campaign: Campaign) -> Run | None:
    return campaign.runs.defer("approvals", "product").order_by("-number").first()


def campaign_summary(campaign: Campaign) -> dict[str, Any]:
    """A campaign's line in a list."""
    spec = campaign.wire
    last = run_last(campaign)
    released = campaign.runs.filter(state=Run.State.RELEASED).order_by("-number").first()
    return {
        "campaign_id": str(campaign.pk),
        "title": campaign.title,
        "state": campaign.state,
        "reason": campaign.reason,
        "creator": campaign.creator,
        "metrics": [{"key": m.key, "unit": m.unit, "better": m.better} for m in spec.metrics],
        "epsilon": spec.noise.epsilon,
        "schedule": spec.schedule,
        "runs": spec.runs,
        "runs_opened": 0 if last is None else last.number,
        "next_run_at": _time(campaign.next_run_at),
        "open_run": last.number if last is not None and last.state == Run.State.OPEN else None,
        "latest_release": None if released is None else released.number,
        "spec_digest": campaign.spec_digest,
        "created_at": _time(campaign.created_at),
    }


def campaign_describe(campaign: Campaign, *, organization: str) -> dict[str, Any]:
    """The campaign as the API shows it to a participant."""
    parts = list(campaign.participants.all())
    own = next((part for part in parts if part.organization == organization), None)
    return {
        **campaign_summary(campaign),
        "spec": campaign.spec,
        "participants": [
            {"organization": p.organization, "state": p.state, "reason": p.reason} for p in parts
        ],
        "approved_by_person": own is not None and own.endorsed_by is not None,
        "run_list": [
            run_summary(found) for found in campaign.runs.defer("approvals", "product", "spec")
        ],
    }


def run_summary(found: Run) -> dict[str, Any]:
    """A run's line in a campaign."""
    return {
        "number": found.number,
        "state": found.state,
        "reason": found.reason,
        "members": found.members,
        "context_digest": found.context_digest,
        "cohort_digest": found.cohort_digest or None,
        "charged": found.charged_at is not None,
        "opened_at": _time(found.opened_at),
        "deadline": _time(found.deadline),
        "released_at": _time(found.released_at),
    }


def _time(value: Any) -> str | None:
    return None if value is None else value.isoformat()
