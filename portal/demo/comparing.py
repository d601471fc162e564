"""Act 5: four hospitals measure a real workload, and sixty virtual ones join them."""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

from apps.attempts.models import Attempt
from apps.attempts.selectors.agreements import attempt_last
from apps.benchmarks.drafts import CampaignDraft
from apps.benchmarks.models import Campaign
from apps.benchmarks.services.campaigns import OPERATOR, campaign_create
from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from portal.demo import virtual
from portal.demo.stage import Stage, wait_for
from portal.demo.story import StepFailed, Story

VIRTUAL = 60
EPSILON = 4.0
RUN_SECONDS = 300
RELEASE_SECONDS = 240
DRAFT = {
    "title": "Training and scoring a model",
    "metrics": [
        {"key": "latency_ms", "lower": 100.0, "upper": 10_000.0, "points": 32, "bins": 16},
        {"key": "throughput_ops", "lower": 1.0, "upper": 10_000.0, "points": 32, "bins": 16},
    ],
    "epsilon": EPSILON,
    "run_seconds": RUN_SECONDS,
}


def compare_speed(story: Story, stage: Stage, names: list[str]) -> dict[str, Any]:
    """Play the act; what the release says, and where each hospital stands."""
    with story.step(f"{VIRTUAL} virtual organizations join, marked so") as step:
        began = time.process_time()
        others = virtual.admit(
            VIRTUAL, like=names[0], url=stage.config.url, folder=stage.folder / "virtual"
        )
        step.detail = f"keys and certificates of their own; {time.process_time() - began:.0f} s CPU"
    try:
        return _play(story, stage, names, others)
    finally:
        for one in others:
            one.close()


def _play(
    story: Story, stage: Stage, names: list[str], others: list[virtual.Virtual]
) -> dict[str, Any]:
    with story.step("An operator creates a campaign") as step:
        draft = CampaignDraft.parse(json.dumps(DRAFT))
        with as_coordinator():
            campaign = campaign_create(
                draft=draft, creator=OPERATOR, actor=Actor.system("demonstration")
            )
        spec = campaign.wire
        virtual.step_all(others)
        _opened(campaign)
        everybody = VIRTUAL + len(names)
        wait_for(lambda: _approved(campaign) == everybody, seconds=60, what="all approvals")
        step.detail = f"{everybody} approve and reserve epsilon {EPSILON:g}; the run is open"
    with story.step("Each hospital measures training and scoring") as step:
        measured = {}
        for name in names:
            step.progress(name)
            measured[name] = _measure(stage, name, str(campaign.pk))
        told = ", ".join(f"{v['latency_ms']:.0f} ms" for v in measured.values())
        step.detail = f"median latency {told}; energy: {_method(measured)}"
    centers = {
        key: statistics.median(values[key] for values in measured.values())
        for key in (metric.key for metric in spec.metrics)
    }
    with story.step(f"{VIRTUAL} virtual organizations vote, drawn by a seed") as step:
        began = time.process_time()
        for seed, one in enumerate(others):
            one.measure(spec, virtual.drawn(spec, seed, centers))
            step.progress(one.slug)
            one.step()
        wait_for(
            lambda: _state(campaign) != Attempt.State.COLLECTING, seconds=60, what="the run closes"
        )
        step.detail = f"{2 * VIRTUAL} votes proven, {time.process_time() - began:.0f} s CPU"
    with story.step("Members charge, trustees add noise and decrypt") as step:
        wait_for(lambda: _charged(campaign, others), seconds=RELEASE_SECONDS, what="all charges")
        wait_for(
            lambda: _state(campaign) in ("released", "abandoned"),
            seconds=RELEASE_SECONDS,
            what="the release",
        )
        found = _run(campaign)
        if found is None or found.wire_release is None:
            raise StepFailed(f"no release: {found.reason if found else 'no run'}")
        release = found.wire_release
        step.detail = (
            f"{release.count} organizations, {VIRTUAL} of them virtual, epsilon {EPSILON:g}"
        )
    with story.step("Each hospital sees where it stands, alone") as step:
        standing = {name: _standing(stage, name, str(campaign.pk)) for name in names}
        first = standing[names[0]][0]
        step.detail = f"{names[0]} is ahead of {first['ahead']:.0%} by {first['key']}"
    return {
        "campaign": str(campaign.pk),
        "page": f"{stage.config.url}/o/{names[0]}/benchmarks/{campaign.pk}/",
        "virtual": VIRTUAL,
        "measured": measured,
        "release": release.dump(),
        "standing": standing,
    }


def _approved(campaign: Campaign) -> int:
    return campaign.participants.filter(state="approved").count()


def _opened(campaign: Campaign) -> None:
    """Wait for the run. Raises StepFailed with what it waits for."""
    try:
        wait_for(lambda: _run(campaign), seconds=60, what="the run opens")
    except StepFailed as error:
        campaign.refresh_from_db()
        raise StepFailed(f"{error}: {campaign.reason}") from error


def _measure(stage: Stage, name: str, campaign: str) -> dict[str, Any]:
    """As a person at the site would: measure, look, submit."""
    home = stage.home(name)
    rows = sum(1 for _ in (home / "rows.csv").open()) - 1
    shown = stage.federated(
        *("bench", "run", "--home", str(home), "--campaign", campaign, "--yes", "--json"),
        *("--repeats", "3", "--warmup", "1", "--items", str(rows), "--"),
        *(sys.executable, "-m", "portal.demo.workload", str(home / "rows.csv")),
    )
    found: dict[str, Any] = json.loads(shown)
    return found


def _method(measured: dict[str, dict[str, Any]]) -> str:
    return ", ".join(sorted({str(values["energy_method"]) for values in measured.values()}))


def _standing(stage: Stage, name: str, campaign: str) -> list[dict[str, Any]]:
    """Once the site's agent has verified the release; the command asks nobody."""
    kept = stage.home(name) / "campaigns" / campaign / "runs" / "1" / "release.json"
    wait_for(kept.exists, seconds=60, what=f"{name} verifies the release")
    found: list[dict[str, Any]] = json.loads(
        stage.federated("bench", "standing", "--home", str(stage.home(name)), campaign, "--json")
    )
    return found


def _run(campaign: Campaign) -> Attempt | None:
    return attempt_last(campaign)


def _state(campaign: Campaign) -> str:
    found = _run(campaign)
    return "" if found is None else str(found.state)


def _charged(campaign: Campaign, others: list[virtual.Virtual]) -> bool:
    """Let the virtual sites that are asked to charge do so."""
    found = _run(campaign)
    if found is None or found.state == "abandoned":
        raise StepFailed(found.reason if found else "no run")
    if found.state != "charging":
        return found.state != Attempt.State.COLLECTING
    done = set(found.messages.filter(name="receipt").values_list("organization", flat=True))
    for one in others:
        if one.slug not in done:
            one.step()
    return False
