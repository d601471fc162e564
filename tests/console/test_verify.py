"""The verify pages: each check by name as it finishes; others' jobs and results do not exist."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.audit import tasks, verification
from apps.audit.models import Verification
from apps.audit.verification import verification_run, verifications_tick
from apps.common.uploads import UPLOAD_MOST
from apps.provenance.models import Event
from apps.training.storage import blob_storage
from federated.provenance.bundle import Bundle
from federated.provenance.verify import Check
from portal.celery import HEADER, app
from tests.console.test_job import job_url, text_of
from tests.federated.provenance.small_bundle import small_bundle_bytes
from tests.patience import patient
from tests.training.test_job_whole import play
from tests.training.world import World

URL = "/o/northwind/verify/"


def upload(client: Client, content: bytes) -> Any:
    return client.post(URL, {"bundle": SimpleUploadedFile("b.json", content)}, secure=True)


def newest() -> Verification:
    return Verification.objects.latest("created_at")


def worked_off(response: Any) -> Verification:
    """What a worker makes of the verification that the answer leads to."""
    found = newest()
    assert (response.status_code, response["Location"]) == (302, f"{URL}{found.pk}/")
    assert verification_run(found.pk)
    found.refresh_from_db()
    return found


def told(found: Verification) -> list[tuple[str, dict[str, Any]]]:
    """Its events in the organization's log: tag and data."""
    with schema_context("t_northwind"):
        rows = Event.objects.filter(subject_id=str(found.pk)).order_by("created_at")
        return [(row.tag, json.loads(bytes(row.canonical))["data"]) for row in rows]


@pytest.fixture
def asked(db: None, northwind_auditor: Client) -> Verification:
    upload(northwind_auditor, small_bundle_bytes())
    connection.set_schema_to_public()
    return newest()


def test_a_job_is_verified_check_by_check(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    play(world, job)
    response = northwind_auditor.post(job_url(job, "verify"), secure=True)
    text = text_of(northwind_auditor.get(response["Location"], secure=True))
    assert "Waits for a worker" in text
    assert "proves nothing to an outsider" in text
    assert f"federated verify bundle-{job.pk}.json" in text
    found = worked_off(response)
    text = text_of(northwind_auditor.get(response["Location"], secure=True))
    assert "No check failed" in text
    assert f"job {str(job.pk)[:8]} round 2.1 release Holds" in text
    assert "Skipped nothing of this bundle is anchored" in text
    # Of the file as it is exported, digest included; and as often as one likes.
    assert "digest Holds" in text
    assert "No check failed" in text_of(northwind_auditor.get(URL, secure=True))
    again = worked_off(northwind_auditor.post(job_url(job, "verify"), secure=True))
    assert again.pk != found.pk
    asked, ended = told(found)
    assert asked == ("audit:verification:asked", {"kind": "job", "of": str(job.pk)})
    assert ended[0] == "audit:verification:ended"
    assert (ended[1]["failed"], ended[1]["ok"]) == (0, found.count("ok"))


def test_the_page_follows_check_by_check(
    asked: Verification, northwind_auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = f"{URL}{asked.pk}/live"
    seen = []

    def noted(found: Verification) -> None:
        note(found)
        shown = northwind_auditor.get(live, {"seen": f"running-{len(seen)}"}, secure=True)
        seen.append((shown.status_code, text_of(shown)))
        connection.set_schema_to_public()
        known = {"seen": f"running-{len(found.checks)}"}
        assert northwind_auditor.get(live, known, secure=True).status_code == 204
        connection.set_schema_to_public()

    note = verification._verification_note
    monkeypatch.setattr(verification, "NOTED_EVERY", 0)
    monkeypatch.setattr(verification, "_verification_note", noted)
    assert northwind_auditor.get(live, {"seen": "queued-0"}, secure=True).status_code == 204
    connection.set_schema_to_public()
    assert verification_run(asked.pk)
    assert {status for status, _ in seen} == {200}
    assert "Checking 1 check," in seen[0][1]
    assert "release Holds" not in seen[0][1]
    assert "release Holds" in seen[-1][1]
    last = northwind_auditor.get(live, {"seen": "running-1"}, secure=True)
    assert (last.status_code, "No check failed" in text_of(last)) == (286, True)


def test_it_reaches_a_worker_through_the_broker(
    northwind_auditor: Client, django_capture_on_commit_callbacks: Any
) -> None:
    with app.connection_for_write() as broker:
        queue = broker.SimpleQueue("audit")
        queue.clear()
        with django_capture_on_commit_callbacks(execute=True):
            upload(northwind_auditor, small_bundle_bytes())
        message = queue.get(timeout=patient(10))
        message.ack()
        assert (message.headers["task"], message.headers[HEADER]) == (tasks.verify.name, "public")
        (arguments, _, _) = json.loads(message.body)
        queue.close()
    connection.set_schema_to_public()
    tasks.verify(*arguments)
    assert newest().state == "done"


def test_an_uploaded_bundle_is_verified_and_not_kept(db: None, northwind_auditor: Client) -> None:
    response = upload(northwind_auditor, small_bundle_bytes())
    key = newest().key
    assert blob_storage().exists(key)
    assert worked_off(response).failed == 0
    assert not blob_storage().exists(key)
    forged = json.loads(small_bundle_bytes())
    forged["sections"]["jobs"][0]["attempts"][0]["release"]["values"][0] += 1
    response = upload(northwind_auditor, Bundle.model_validate(forged).to_bytes())
    assert worked_off(response).failed > 0
    text = text_of(northwind_auditor.get(response["Location"], secure=True))
    assert "checks failed" in text
    assert "Failed" in text
    assert "Checks failed" in text_of(northwind_auditor.get(URL, secure=True))


def test_no_bundle_is_one_clear_line(
    db: None, northwind_auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (b"no", small_bundle_bytes()[:900]):
        response = upload(northwind_auditor, content)
        assert (response.status_code, "not a bundle" in text_of(response)) == (422, True)
    response = upload(northwind_auditor, b" " * (UPLOAD_MOST + 1))
    assert (response.status_code, "choose a file of at most" in text_of(response)) == (422, True)
    monkeypatch.setattr(verification, "CONTRIBUTIONS_MOST", 0)
    response = upload(northwind_auditor, small_bundle_bytes())
    assert (response.status_code, "on your own machine" in text_of(response)) == (413, True)
    assert not Verification.objects.exists()


def test_one_is_open_at_a_time(
    asked: Verification, world: World, northwind_auditor: Client
) -> None:
    job = world.propose()
    response = upload(northwind_auditor, small_bundle_bytes())
    assert (response.status_code, "Another verification" in text_of(response)) == (409, True)
    response = northwind_auditor.post(job_url(job, "verify"), follow=True, secure=True)
    assert "Another verification" in text_of(response)
    assert Verification.objects.get() == asked


def test_one_worker_verifies_at_a_time(
    asked: Verification, lakeside_admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = SimpleUploadedFile("c.json", small_bundle_bytes())
    lakeside_admin.post("/o/lakeside/verify/", {"bundle": file}, secure=True)
    connection.set_schema_to_public()
    second, inside = newest(), []
    verify = verification._verify

    def busy(found: Verification, path: Any) -> None:
        inside.append((verification_run(asked.pk), verification_run(second.pk)))
        verify(found, path)

    monkeypatch.setattr(verification, "_verify", busy)
    assert verification_run(asked.pk)
    assert inside == [(False, False)]
    assert not verification_run(asked.pk)
    monkeypatch.undo()
    assert verification_run(second.pk)


def test_a_killed_worker_is_survived(
    asked: Verification,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(verification, "enqueue", lambda task, pk: sent.append((task, pk)))

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    def late() -> None:
        past = timezone.now() - timedelta(seconds=1)
        Verification.objects.filter(pk=asked.pk).update(leased_until=past)

    # Lost before any worker took it: sent again.
    verifications_tick()
    assert sent == [("audit.verify", asked.pk)]
    with monkeypatch.context() as patch:
        patch.setattr(verification, "_verify", killed)
        with pytest.raises(KeyboardInterrupt):
            verification_run(asked.pk)
        # Its lease still runs: it may be alive.
        verifications_tick()
        assert (newest().state, len(sent)) == ("running", 1)
        left = newest()
        late()
        verifications_tick()
        assert (newest().state, len(sent)) == ("queued", 2)
    assert verification_run(asked.pk)
    assert (newest().state, newest().attempts) == ("done", 2)
    # What the first one would still say counts no more.
    assert not verification._verification_end(left, error="too late")
    with pytest.raises(verification._Lost):
        verification._verification_note(left)
    assert [tag.rpartition(":")[2] for tag, _ in told(asked)] == ["asked", "ended"]


def test_the_lease_is_renewed_while_one_check_takes_long(
    asked: Verification, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed, problems = threading.Event(), []
    beat, verify = verification._verification_beat, verification._verify

    def beating(found: Verification) -> None:
        # In the thread's own connection, which does not see what this test has not committed.
        try:
            beat(found)
        except Exception as error:
            problems.append(error)
        renewed.set()

    def long(found: Verification, path: Any) -> None:
        assert renewed.wait(patient(20))
        verify(found, path)

    monkeypatch.setattr(verification, "BEAT_SECONDS", 0.01)
    monkeypatch.setattr(verification, "_verification_beat", beating)
    monkeypatch.setattr(verification, "_verify", long)
    assert verification_run(asked.pk)
    assert problems == []
    Verification.objects.update(state="running", attempts=1, leased_until=None)
    before = timezone.now()
    beat(newest())
    assert newest().leased_until >= before + verification.LEASE


def test_a_bundle_that_ends_its_workers_is_given_up(
    asked: Verification, northwind_auditor: Client
) -> None:
    past = timezone.now() - timedelta(seconds=1)
    Verification.objects.update(state="running", attempts=3, leased_until=past)
    verifications_tick()
    page = northwind_auditor.get(f"{URL}{asked.pk}/", secure=True)
    assert "Not verified" in text_of(page)
    assert "3 workers ended over it" in text_of(page)
    assert told(asked)[-1][1]["result"] == "failed"


def test_a_finding_that_no_database_keeps_is_kept(asked: Verification) -> None:
    check = Check("log \0", "failed", "\ud800 is no text" + "x" * 2000)
    asked.checks = [verification._row(check)]
    asked.state, asked.attempts = "running", 1
    asked.save()
    assert verification._verification_end(asked)
    assert "is no text" in newest().checks[0]["detail"]


def test_others_are_not_there(asked: Verification, world: World, harbor_admin: Client) -> None:
    job = world.propose()
    assert harbor_admin.post(job_url(job, "verify", slug="harbor"), secure=True).status_code == 404
    for path in (f"{asked.pk}/", f"{asked.pk}/live"):
        assert harbor_admin.get(f"/o/harbor/verify/{path}", secure=True).status_code == 404
    assert str(asked.pk) not in harbor_admin.get("/o/harbor/verify/", secure=True).content.decode()
    # The database refuses as well.
    with schema_context("t_harbor"):
        assert not Verification.objects.exists()
    with schema_context("t_northwind"):
        assert Verification.objects.get() == asked
