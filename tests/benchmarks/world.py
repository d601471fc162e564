"""Real agents in the portal's campaigns: the cast's sites, one campaign, the workers' ticks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from apps.attempts import tasks
from apps.attempts.models import Attempt
from apps.benchmarks.drafts import CampaignDraft
from apps.benchmarks.models import Campaign
from apps.benchmarks.services import machine
from apps.benchmarks.services.campaigns import OPERATOR, campaign_create
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from federated.site.campaign_folder import measurements_of
from tests.federated.client.portal import SiteAtWork, home_make
from tests.training.world import World

EVERYBODY = ("harbor", "lakeside", "northwind", "summit")
CAST = ("lakeside", "northwind", "summit")
VALUES = {"harbor": 60.0, "lakeside": 20.0, "northwind": 40.0, "summit": 80.0}
OPERATOR_ACTOR = Actor.system("operator")
DRAFT: dict[str, Any] = {
    "title": "Scoring",
    "metrics": [
        {
            "key": "latency_ms",
            "unit": "ms",
            "lower": 0.0,
            "upper": 100.0,
            "grid": "linear",
            "points": 8,
            "bins": 4,
            "statistics": ["mean", "median"],
        }
    ],
    "epsilon": 1.0,
    "participants": list(CAST),
    "minimum_cohort": 3,
    "run_seconds": 3600,
}


def draft(**changes: Any) -> CampaignDraft:
    return CampaignDraft.parse(json.dumps(DRAFT | changes))


class Consortium(dict[str, SiteAtWork]):
    """Agents by organization, on a portal with a published key that all have confirmed."""

    def __init__(self, folder: Path, slugs: tuple[str, ...] = EVERYBODY) -> None:
        World().publish_key()
        super().__init__({slug: SiteAtWork(home_make(folder, slug)) for slug in slugs})
        for site in self.values():
            site.step()

    def create(self, **changes: Any) -> Campaign:
        return campaign_create(draft=draft(**changes), creator=OPERATOR, actor=OPERATOR_ACTOR)

    def measure(self, campaign: Campaign, *slugs: str, value: float | None = None) -> None:
        """Let a measurement wait in the folders of these organizations."""
        spec = fresh(campaign).wire
        for slug in slugs or CAST:
            values = {
                metric.key: VALUES[slug] if value is None else value for metric in spec.metrics
            }
            made = measurements_of(spec, values, measured_at="2026-01-01T00:00:00Z")
            self[slug].home.campaign(str(campaign.pk)).wait(made)

    def step(self, *slugs: str) -> None:
        for slug in slugs or CAST:
            self[slug].step()
        workers()

    def opened(self, **changes: Any) -> Attempt:
        """A campaign that the cast approved, its first run open, measurements waiting."""
        campaign = self.create(**changes)
        self.step()
        self.measure(campaign)
        return run_of(campaign)

    def until(self, campaign: Campaign, state: str, *slugs: str, most: int = 12) -> Attempt:
        for _ in range(most):
            found = run_of(campaign)
            if found.state == state:
                return found
            self.step(*slugs)
        found = run_of(campaign)
        assert found.state == state, (found.state, found.reason)
        return found

    def released(self, **changes: Any) -> Attempt:
        return self.until(self.opened(**changes).agreement.campaign, "released")

    def path(self, found: Attempt, name: str = "") -> str:
        return f"/api/campaigns/{found.agreement_id}/runs/{found.number}" + (
            f"/{name}" if name else ""
        )


def workers() -> None:
    """What beat and the workers do: a tick, and the heavy tasks that it would enqueue."""
    machine.tick()
    with as_coordinator():
        waiting = list(Attempt.objects.filter(state=Attempt.State.DECRYPTING))
    for found in waiting:
        tasks.release(str(found.pk))


def fresh(campaign: Campaign) -> Campaign:
    return Campaign.objects.get(pk=campaign.pk)


def run_of(campaign: Campaign) -> Attempt:
    """The campaign's newest run, fresh from the database."""
    found = Attempt.objects.filter(agreement=campaign).order_by("-number").first()
    assert found is not None, fresh(campaign).reason
    return found


def pass_deadline(found: Attempt) -> None:
    """Let the run's deadline lie in the past, without waiting for it."""
    Attempt.objects.filter(pk=found.pk).update(deadline=found.opened_at)
    workers()


def make_due(campaign: Campaign, moment: Any) -> None:
    Campaign.objects.filter(pk=campaign.pk).update(next_run_at=moment)
