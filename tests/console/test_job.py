"""A job's page: what it shows, what changes live, and who may act on it."""

from __future__ import annotations

import html
import re
import uuid
from typing import Any

import pytest
from django.test import Client

from apps.attempts.models import Participant
from apps.training.models import Job
from federated.wire.site import Work
from tests.training.test_job_whole import play
from tests.training.world import CAST, World, current, pass_deadline


def job_url(job: Job, rest: str = "", slug: str = "northwind") -> str:
    return f"/o/{slug}/jobs/{job.pk}/{rest}"


def text_of(response: Any) -> str:
    """What a reader sees: the page without its markup and drawings."""
    drawn = re.sub(r"<svg.*?</svg>", " ", response.content.decode(), flags=re.DOTALL)
    plain = re.sub(r"<[^>]+>", " ", drawn)
    return " ".join(html.unescape(plain).split())


def live_url(response: Any) -> str:
    found = re.search(r'hx-get="([^"]+)"', response.content.decode())
    assert found is not None
    return html.unescape(found[1])


def test_a_finished_job_is_shown_whole(world: World, northwind_scientist: Client) -> None:
    job = world.start()
    play(world, job)
    response = northwind_scientist.get(job_url(job), secure=True)
    text = text_of(response)
    assert response.status_code == 200
    assert "ward, logistic regression" in text
    assert "2 of 2" in text
    assert job.model_digest in text
    assert "3 of 3 approved" in text
    assert text.count("3 agree") == 2
    assert "Round 2 released" in text
    assert f"federated verify bundle-{job.pk}.json" in text
    # Nothing polls any more, and nothing is left to cancel.
    assert "hx-get" not in response.content.decode()
    assert "Cancel" not in text


def test_a_joint_evaluation_is_shown_with_its_intervals(
    world: World, northwind_auditor: Client
) -> None:
    job = world.start(rounds=1)
    play(world, job)
    evaluation = world.propose_evaluation(job)
    before = text_of(northwind_auditor.get(job_url(evaluation), secure=True))
    assert "ward, joint evaluation of logistic regression" in before
    assert "by class and 8 score bins" in before and "No counts yet" in before
    play(world, evaluation)
    assert (evaluation.state, evaluation.reason) == (Job.State.FINISHED, "")
    page = northwind_auditor.get(job_url(evaluation), secure=True)
    text = text_of(page)
    for said in ("AUC", "Accuracy", "Records, positive", "Calibration", "0.125 to 0.25"):
        assert said in text
    found = re.search(r"AUC (0\.\d{3}) (0\.\d{3}) to (\d\.\d{3})", text)
    assert found is not None
    value, low, high = map(float, found.groups())
    assert low < value < high
    assert "An interval covers the privacy noise" in text
    assert f'/o/northwind/jobs/{job.pk}/"' in page.content.decode()
    # The model's own page tells of it, and to others nothing.
    text = text_of(northwind_auditor.get(job_url(job), secure=True))
    assert f"AUC {found[1]} ({found[2]} to {found[3]})" in text


def test_the_bundle_link_gives_the_bundle(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    play(world, job)
    page = northwind_auditor.get(job_url(job), secure=True).content.decode()
    link = re.search(r'href="([^"]+)" download', page)
    assert link is not None
    answer = northwind_auditor.get(link[1], secure=True)
    assert f"bundle-{job.pk}.json" in answer["Content-Disposition"]


def test_a_refusal_is_named_with_its_reason(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    found = world.to_decrypting(job)
    for slug in ("lakeside", "summit"):
        path = f"jobs/{job.pk}/rounds/{found.number}/{found.attempt}/refusal"
        assert world[slug].post(path, world[slug].refusal(found)).status_code in (200, 201)
    text = text_of(northwind_auditor.get(job_url(job), secure=True))
    assert "lakeside refused: cohort_already_served served another cohort" in text
    assert "summit refused: cohort_already_served" in text


def test_an_abandoned_attempt_says_why_and_costs_nothing(
    world: World, northwind_auditor: Client
) -> None:
    job = world.start()
    pass_deadline(current(job))
    text = text_of(northwind_auditor.get(job_url(job), secure=True))
    assert "1 attempt abandoned" in text
    assert "0 contributions (nobody), the attempt's minimum is 3" in text
    assert "Nothing is spent" in text


def test_an_unchanged_page_is_not_sent_again(world: World, northwind_auditor: Client) -> None:
    job = world.propose()
    page = northwind_auditor.get(job_url(job), secure=True)
    again = northwind_auditor.get(live_url(page), secure=True)
    assert (again.status_code, again.content) == (204, b"")


def test_a_changed_page_comes_with_the_next_address_to_ask(
    world: World, northwind_auditor: Client
) -> None:
    job = world.propose()
    page = northwind_auditor.get(job_url(job), secure=True)
    world["lakeside"].work(Work.APPROVE)
    changed = northwind_auditor.get(live_url(page), secure=True)
    assert changed.status_code == 200
    assert "1 of 3 approved" in text_of(changed)
    assert northwind_auditor.get(live_url(changed), secure=True).status_code == 204


def test_buttons_come_along_only_when_the_state_changes(
    world: World, northwind_scientist: Client
) -> None:
    job = world.propose()
    page = northwind_scientist.get(job_url(job), secure=True)
    world["lakeside"].work(Work.APPROVE)
    changed = northwind_scientist.get(live_url(page), secure=True)
    assert 'id="job-actions"' not in changed.content.decode()
    for slug in ("northwind", "summit"):
        world[slug].work(Work.APPROVE)
    world.all_work(CAST)
    changed = northwind_scientist.get(live_url(changed), secure=True)
    assert 'id="job-actions"' in changed.content.decode()


def test_polling_stops_when_the_job_is_over(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    page = northwind_auditor.get(job_url(job), secure=True)
    play(world, job)
    last = northwind_auditor.get(live_url(page), secure=True)
    assert last.status_code == 286
    assert "Finished" in text_of(last)
    assert "hx-get" not in last.content.decode()


def test_a_person_approves_and_the_site_signs_next(world: World, northwind_admin: Client) -> None:
    job = world.propose()
    answer = northwind_admin.post(job_url(job, "approve"), secure=True, follow=True)
    text = text_of(answer)
    assert "Approved. The site checks the job" in text
    assert "approved by admin@northwind.example; its site signs next" in text
    assert "Approve for" not in text
    assert "Pending" in text


def test_a_person_declines_with_a_reason(world: World, northwind_scientist: Client) -> None:
    job = world.propose()
    answer = northwind_scientist.post(
        job_url(job, "decline"), {"reason": "not our <b>data</b>"}, secure=True, follow=True
    )
    job.refresh_from_db()
    assert job.state == Job.State.DECLINED
    assert "declined by northwind: not our <b>data</b>" in text_of(answer)
    assert "<b>data</b>" not in answer.content.decode()


def test_a_cancelled_job_ends_and_says_who_did_it(
    world: World, northwind_scientist: Client
) -> None:
    job = world.start()
    answer = northwind_scientist.post(
        job_url(job, "cancel"), {"reason": "wrong target"}, secure=True, follow=True
    )
    job.refresh_from_db()
    assert job.state == Job.State.CANCELLED
    assert "cancelled by northwind: wrong target" in text_of(answer)


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_a_reason_is_needed_and_bounded(
    world: World, northwind_scientist: Client, reason: str
) -> None:
    job = world.start()
    answer = northwind_scientist.post(
        job_url(job, "cancel"), {"reason": reason}, secure=True, follow=True
    )
    job.refresh_from_db()
    assert job.state == Job.State.RUNNING
    assert "reason: 1 to 500 characters are needed" in text_of(answer)


def test_what_is_too_late_is_said_on_the_page(world: World, northwind_scientist: Client) -> None:
    job = world.start()
    northwind_scientist.post(job_url(job, "cancel"), {"reason": "once"}, secure=True)
    answer = northwind_scientist.post(job_url(job, "approve"), secure=True, follow=True)
    assert answer.status_code == 200
    assert "The job is cancelled" in text_of(answer)


@pytest.mark.parametrize("action", ["approve", "decline", "cancel"])
def test_an_auditor_reads_and_changes_nothing(
    world: World, northwind_auditor: Client, action: str
) -> None:
    job = world.propose()
    assert 'id="job-actions"' in (
        page := northwind_auditor.get(job_url(job), secure=True).content.decode()
    )
    assert "<button" not in page.split('id="job-actions"')[1].split("job-live")[0]
    answer = northwind_auditor.post(job_url(job, action), {"reason": "no"}, secure=True)
    assert answer.status_code == 403
    assert job.participants.get(organization="northwind").state == Participant.State.PENDING
    job.refresh_from_db()
    assert job.state == Job.State.PROPOSED


@pytest.mark.parametrize("rest", ["", "live", "approve", "decline", "cancel"])
def test_another_organizations_job_is_not_found(
    world: World, harbor_admin: Client, rest: str
) -> None:
    job = world.propose()
    method = harbor_admin.get if rest in ("", "live") else harbor_admin.post
    assert method(job_url(job, rest, slug="harbor"), secure=True).status_code == 404
    assert method(job_url(job, rest), secure=True).status_code == 404


def test_a_job_that_is_not_there_is_not_found(northwind_admin: Client) -> None:
    assert northwind_admin.get(f"/o/northwind/jobs/{uuid.uuid4()}/", secure=True).status_code == 404


def test_an_action_needs_the_form_of_our_own_page(world: World, northwind_admin: Client) -> None:
    job = world.propose()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = northwind_admin.cookies
    answer = strict.post(job_url(job, "approve"), secure=True)
    assert answer.status_code == 403
    assert job.participants.get(organization="northwind").endorsed_by is None
