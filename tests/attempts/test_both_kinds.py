"""Jobs and campaigns share one table, one inbox and one retention; neither may harm the other."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from apps.attempts import tasks
from apps.attempts.models import Agreement, Attempt
from apps.benchmarks.models import Campaign
from apps.benchmarks.services.campaigns import OPERATOR, campaign_cancel, campaign_create
from apps.common.coordinator import as_coordinator
from federated.errors import DomainError
from federated.wire.job import Cancel
from federated.wire.site import CampaignTask, JobTask
from tests.benchmarks.test_bad_submission import TWO, made, send
from tests.benchmarks.world import OPERATOR_ACTOR, Consortium, draft, run_of
from tests.federated.client.portal import SiteAtWork, home_make
from tests.rows import sent
from tests.training.world import CAST, World

PENDING_MANY = 201


def campaign_of() -> Campaign:
    return campaign_create(draft=draft(), creator=OPERATOR, actor=OPERATOR_ACTOR)


def agents(folder: Path) -> Consortium:
    """Agents of the cast, where the key is published already."""
    consortium = Consortium.__new__(Consortium)
    dict.__init__(consortium, {slug: SiteAtWork(home_make(folder, slug)) for slug in CAST})
    for site in consortium.values():
        site.step()
    return consortium


def test_a_job_with_a_campaigns_id_gets_a_clear_answer(world: World) -> None:
    campaign = campaign_of()
    before = Agreement.objects.filter(pk=campaign.pk).values().get()
    spec = world.spec(job_id=str(campaign.pk))
    answer = world["northwind"].post("jobs", world.proposal(spec))
    assert Agreement.objects.filter(pk=campaign.pk).values().get() == before
    assert (answer.status_code, answer.json()["code"]) == (409, "already_sent"), answer.content


def test_campaigns_that_wait_for_people_leave_room_for_jobs(world: World) -> None:
    """A site's policy may leave campaigns to a person: their number delays no job."""
    for _ in range(PENDING_MANY):
        campaign_of()
    job = world.propose()
    asked = world["summit"].inbox().tasks
    assert any(isinstance(task, CampaignTask) for task in asked)
    assert JobTask(job_id=str(job.pk)) in asked


def test_a_job_that_cannot_expire_keeps_no_runs_ciphertexts(world: World, tmp_path: Path) -> None:
    """A damaged row of a job is no reason to keep what campaigns' sites sent."""
    northwind, job = world["northwind"], world.start()
    world.to_charging(job)
    cancel = Cancel(
        job_id=str(job.pk), spec=job.spec_digest, organization="northwind", reason="enough"
    )
    assert northwind.post(f"jobs/{job.pk}/cancel", northwind.sign(cancel)).status_code == 201
    sent("contribution").filter(attempt__agreement=job).update(content=b"{")
    consortium = agents(tmp_path)
    run = consortium.opened()
    consortium.step()
    campaign_cancel(
        campaign=run.agreement.campaign, editor=OPERATOR, reason="", actor=OPERATOR_ACTOR
    )
    assert sent("submission").exclude(content=b"").count() == len(CAST)
    config = settings.FSC_CONFIG
    days = max(config.jobs.retention_days, config.benchmarks.retention_days)
    past = timezone.now() - timedelta(days=days + 1)
    with as_coordinator():
        Agreement.objects.filter(pk=job.pk).update(ended_at=past)
        Attempt.objects.filter(pk=run.pk).update(abandoned_at=past)
    with contextlib.suppress(DomainError):
        tasks.expire()
    assert not sent("submission").exclude(content=b"").exists()


def test_a_submission_that_comes_back_in_the_place_of_its_replacement(
    db: None, tmp_path: Path
) -> None:
    """First, second, and the first again: three receipts of two digests."""
    consortium = Consortium(tmp_path)
    campaign = consortium.create(metrics=TWO)
    consortium.step()
    run = run_of(campaign)
    first, second = made(consortium, run), made(consortium, run)
    assert send(consortium, run, first).status_code == 201
    client, path = consortium["lakeside"].transport.client, consortium.path(run, "submission")
    for new, old in ((second, first), (first, second)):
        answer = client.put(
            f"{path}?replaces={old.digest()}", new.canonical(), content_type="application/json"
        )
        assert answer.status_code == 201, answer.content
    assert sent("submission").get().digest == first.digest()
