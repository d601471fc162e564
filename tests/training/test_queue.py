"""First come first served, and every job that waits says why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from apps.attempts.models import Attempt
from apps.attempts.services.answers import endorse
from apps.common.actor import Actor
from apps.keys.models import KeyEpoch
from apps.training.models import Job
from apps.training.services import jobs, machine
from federated.errors import Conflict
from federated.wire import job as wire
from federated.wire.site import Work
from tests.patience import patient
from tests.training.world import CAST, World, current, workers

PERSON = Actor("user", "1", "admin@summit.example", "summit")


def approved(world: World) -> Job:
    job = world.propose()
    for slug in CAST:
        world[slug].work(Work.APPROVE)
    return job


def states(*waiting: Job) -> list[tuple[str, str]]:
    for job in waiting:
        job.refresh_from_db()
    return [(job.state, job.reason) for job in waiting]


def cancel(world: World, slug: str, job: Job, reason: str = "") -> Any:
    body = wire.Cancel(job_id=str(job.pk), spec=job.spec_digest, organization=slug, reason=reason)
    return world[slug].post(f"jobs/{job.pk}/cancel", world[slug].sign(body))


def test_first_come_first_served(world: World) -> None:
    assert settings.FSC_CONFIG.jobs.concurrency == 2
    made = []
    for _ in range(4):
        made.append(approved(world))
        workers()
    assert states(*made) == [
        ("running", ""),
        ("running", ""),
        ("queued", "waits for 2 running jobs"),
        ("queued", "waits for 2 running jobs"),
    ]
    assert cancel(world, "summit", made[0]).status_code == 201
    workers()
    assert [state for state, _ in states(*made)] == ["cancelled", "running", "running", "queued"]


def test_a_job_waits_for_its_key(world: World) -> None:
    KeyEpoch.objects.update(state=KeyEpoch.State.PENDING)
    job = approved(world)
    workers()
    assert states(job)[0] == (
        "queued",
        "waits for a key epoch: not every trustee has confirmed its share",
    )
    KeyEpoch.objects.update(state=KeyEpoch.State.ACTIVE)
    workers()
    assert states(job)[0] == ("running", "")


def test_ticks_start_a_job_once(world: World) -> None:
    job = approved(world)
    for _ in range(3):
        machine.tick()
        machine.job_advance(job.pk)
        machine.queue_advance()
    assert Attempt.objects.filter(agreement=job).count() == 1


def test_cancelling_ends_the_open_attempt(world: World) -> None:
    job = world.start()
    found = world.to_charging(job)
    assert cancel(world, "lakeside", job, "wrong cohort").status_code == 201
    assert states(job)[0] == ("cancelled", "cancelled by lakeside: wrong cohort")
    found.refresh_from_db()
    assert (found.state, found.reason) == (Attempt.State.ABANDONED, "the job is cancelled")
    assert not any(world[slug].inbox().tasks for slug in CAST)
    answer = world["summit"].post(
        f"jobs/{job.pk}/rounds/1/1/contribution",
        world["summit"].sent["contribution", str(job.pk), 1, 1],
    )
    assert answer.status_code == 200, "what was accepted stays accepted"
    workers()
    assert current(job).pk == found.pk


def test_cancelling_again_changes_nothing_and_an_ended_job_is_ended(world: World) -> None:
    job = world.start()
    assert cancel(world, "summit", job).status_code == 201
    assert cancel(world, "lakeside", job).status_code == 200
    other = approved(world)
    Job.objects.filter(pk=other.pk).update(state=Job.State.FINISHED, ended_at=timezone.now())
    answer = cancel(world, "summit", other)
    assert (answer.status_code, answer.json()["code"]) == (409, "closed")


def test_nobody_cancels_for_another(world: World) -> None:
    job = world.start()
    body = wire.Cancel(job_id=str(job.pk), spec=job.spec_digest, organization="lakeside", reason="")
    forged = world["summit"].sign(body)
    assert world["summit"].post(f"jobs/{job.pk}/cancel", forged).status_code == 403
    assert world["lakeside"].post(f"jobs/{job.pk}/cancel", forged).status_code == 422
    assert states(job)[0][0] == "running"


def test_a_persons_approval_reaches_the_site(world: World) -> None:
    job = world.propose()
    before = world["summit"].get("inbox")
    assert world["summit"].get(f"jobs/{job.pk}").json()["approved_by_person"] is False
    assert endorse(job, organization="summit", actor=PERSON) is True
    assert endorse(job, organization="summit", actor=PERSON) is False
    assert world["summit"].get(f"jobs/{job.pk}").json()["approved_by_person"] is True
    assert world["lakeside"].get(f"jobs/{job.pk}").json()["approved_by_person"] is False
    assert before.status_code == 200
    job.refresh_from_db()
    assert job.state == Job.State.PROPOSED, "the site signs, the person only lets it"


def test_a_persons_no_ends_the_job(world: World) -> None:
    job = world.propose()
    jobs.job_decline_by_person(job=job, organization="summit", reason="not us", actor=PERSON)
    assert states(job)[0] == ("declined", "declined by summit: not us")
    with pytest.raises(Conflict):
        endorse(job, organization="summit", actor=PERSON)


def test_a_finished_attempt_reaches_the_workers_through_the_broker(
    world: World, django_capture_on_commit_callbacks: Any
) -> None:
    """What is enqueued on commit is the coordinator's work, on the queue of its task."""
    from portal.celery import HEADER, app

    job = world.start()
    with app.connection_for_write() as broker:
        queue = broker.SimpleQueue("attempts")
        queue.clear()
        with django_capture_on_commit_callbacks(execute=True):
            for slug in CAST:
                world[slug].work(Work.TRAIN)
        message = queue.get(timeout=patient(10))
        assert message.headers["task"] == "attempts.advance"
        assert message.headers[HEADER] == "public"
        assert json.loads(message.body)[0] == [str(current(job).pk)]
        message.ack()
        queue.close()


def test_the_inbox_answers_304_until_a_bell_rings(
    world: World, django_capture_on_commit_callbacks: Any
) -> None:
    site = world["summit"]
    first = site.get("inbox")
    etag = first["ETag"]
    assert first.json()["wait_ms"] == 1000
    assert site.get("inbox", **{"If-None-Match": etag}).status_code == 304
    with django_capture_on_commit_callbacks(execute=True):
        world.propose()
    rung = site.get("inbox", **{"If-None-Match": etag})
    assert (rung.status_code, rung["ETag"] != etag) == (200, True)
    assert [task["kind"] for task in rung.json()["tasks"]] == ["approve"]
    # A cache that lost its memory never repeats a tag.
    cache.clear()
    assert site.get("inbox", **{"If-None-Match": rung["ETag"]}).status_code == 200


def test_polling_is_quick_while_a_round_runs(world: World) -> None:
    world.start()
    assert 50 <= world["summit"].inbox().wait_ms <= 100
    assert world["harbor"].inbox().wait_ms == 1000


def test_the_inbox_shows_that_the_site_is_there(world: World) -> None:
    from apps.organizations.models import Site

    Site.objects.update(last_seen_at=None)
    cache.clear()
    world["summit"].get("inbox")
    seen = dict(Site.objects.values_list("organization__slug", "last_seen_at"))
    assert seen["summit"] is not None
    assert seen["lakeside"] is None
