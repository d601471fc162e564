"""Campaigns and runs as one organization may see them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.attempts.models import Attempt
from apps.attempts.selectors.agreements import (
    agreement_get_for,
    agreements_of,
    attempt_last,
    time_text,
)
from apps.benchmarks.models import Campaign


def campaigns_of(organization: str) -> QuerySet[Campaign]:
    """The campaigns that an organization may take part in, newest first."""
    return agreements_of(organization, Campaign)


def campaign_get_for(*, organization: str, campaign_id: Any) -> Campaign:
    """Raises NotFound for a campaign of others, too."""
    return agreement_get_for(Campaign, organization=organization, pk=campaign_id)


def state_of(run: Attempt) -> str:
    """A run that collects is open, as campaigns have always called it."""
    return "open" if run.state == Attempt.State.COLLECTING else run.state


def release_last(campaign: Campaign) -> Attempt | None:
    """The newest released run, without what is large."""
    released = campaign.attempts.filter(state=Attempt.State.RELEASED)
    run: Attempt | None = released.defer("approvals", "product").order_by("-number").first()
    return run


def campaign_summary(campaign: Campaign) -> dict[str, Any]:
    """A campaign's line in a list."""
    spec = campaign.wire
    last, released = attempt_last(campaign), release_last(campaign)
    return {
        "campaign_id": str(campaign.pk),
        "title": campaign.title,
        "state": campaign.state,
        "reason": campaign.reason,
        "creator": campaign.proposer,
        "metrics": [{"key": m.key, "unit": m.unit, "better": m.better} for m in spec.metrics],
        "epsilon": spec.noise.epsilon,
        "schedule": spec.schedule,
        "runs": spec.runs,
        "runs_opened": 0 if last is None else last.number,
        "next_run_at": time_text(campaign.next_run_at),
        "open_run": last.number if last is not None and state_of(last) == "open" else None,
        "latest_release": None if released is None else released.number,
        "spec_digest": campaign.spec_digest,
        "created_at": time_text(campaign.created_at),
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
            run_summary(run) for run in campaign.attempts.defer("approvals", "product", "spec")
        ],
    }


def run_summary(run: Attempt) -> dict[str, Any]:
    """A run's line in a campaign."""
    return {
        "number": run.number,
        "state": state_of(run),
        "reason": run.reason,
        "members": run.members,
        "context_digest": run.context_digest,
        "cohort_digest": run.cohort_digest or None,
        "charged": run.charged_at is not None,
        "opened_at": time_text(run.opened_at),
        "deadline": time_text(run.deadline),
        "released_at": time_text(run.released_at),
    }
