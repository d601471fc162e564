"""The portal's model card is the one that the bundle gives, for participants alone."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client

from apps.training.models import Job
from federated.card.card import bundle_card
from federated.card.page import POLICY
from federated.provenance.bundle import load_bundle
from federated.provenance.verify import verify_bundle
from federated.verify.replay import replay_job
from federated.verify.rounds import round_checks
from tests import second_verifier
from tests.training.test_job_whole import play
from tests.training.world import World


@pytest.fixture
def job(world: World) -> Job:
    """A job of one round, and a joint evaluation of its model."""
    made = world.start(rounds=1, purpose="to plan <b>beds</b>")
    play(world, made)
    play(world, world.propose_evaluation(made))
    return made


def test_the_card_is_the_bundles(world: World, job: Job, northwind_auditor: Client) -> None:
    page = northwind_auditor.get(f"/o/northwind/jobs/{job.pk}/", secure=True).content.decode()
    assert "to plan &lt;b&gt;beds&lt;/b&gt;" in page
    links = re.findall(r'href="([^"]+/card)"', page)
    shown, download = (northwind_auditor.get(link, secure=True) for link in links)
    assert (shown.status_code, download.status_code) == (200, 200)
    assert f"card-{job.pk}.json" in download["Content-Disposition"]
    assert shown["Content-Security-Policy"].startswith(POLICY)
    text = shown.content.decode()
    assert "Not verified: " in text and "Performance after round 1" in text
    assert "to plan &lt;b&gt;beds&lt;/b&gt;" in text
    assert "AUC" in text and job.model_digest in text

    content = world["northwind"].get(f"jobs/{job.pk}/bundle").content
    bundle = load_bundle(json.loads(content))
    report = verify_bundle(bundle, checks=[round_checks])
    assert report.ok, report.failures
    evaluated = [c.status for c in report.checks if c.name.endswith("evaluated model")]
    assert evaluated == ["ok"]
    assert len(second_verifier.verify(content)) == 2
    assert replay_job(bundle).state.digest() == job.model_digest
    card = json.loads(download.content)
    assert card["verification"] is None
    verified = bundle_card(bundle, checks=report.checks)
    assert card["evaluations"] and card["software"]
    for name in card.keys() - {"verification"}:
        assert verified[name] == card[name], name


def test_nothing_released_has_no_card(world: World, northwind_auditor: Client) -> None:
    running = world.start(rounds=1)
    page = northwind_auditor.get(f"/o/northwind/jobs/{running.pk}/", secure=True)
    assert "/card" not in page.content.decode()
    for path in (f"jobs/{running.pk}/card", f"api/jobs/{running.pk}/card"):
        assert northwind_auditor.get(f"/o/northwind/{path}", secure=True).status_code == 404
