"""After a job's retention its ciphertexts are gone, and a bundle verifies what is left."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.test import Client
from django.utils import timezone

from apps.attempts import tasks
from apps.attempts.models import Attempt
from apps.attempts.services import retention
from apps.provenance.models import Event
from apps.training.models import Job, MaskedVector
from apps.training.services import played
from federated.errors import InvalidInput
from federated.protocol.refused import Refused
from federated.protocol.transcript import transcript_check
from federated.provenance.bundle import Bundle, load_bundle
from federated.provenance.verify import Check, verify_bundle
from federated.verify.replay import replay_job
from federated.verify.rounds import round_checks
from federated.wire.round import Reason, Transcript
from federated.wire.site import Work
from tests import second_verifier
from tests.rows import sent
from tests.training.test_job_whole import play
from tests.training.world import CAST, World, current, task_for


@pytest.fixture(autouse=True)
def empty_storage(tmp_path: Path, settings: Any) -> Iterator[None]:
    options = {"location": tmp_path / "blobs"}
    chosen = {"BACKEND": "apps.common.blobs.DurableStorage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "blobs": chosen}
    yield


@pytest.fixture
def job(world: World) -> Job:
    job = world.start()
    play(world, job)
    return job


def expire(job: Job) -> None:
    """Let the job's end lie just beyond its retention, and the task run."""
    days = settings.FSC_CONFIG.jobs.retention_days
    Job.objects.filter(pk=job.pk).update(ended_at=timezone.now() - timedelta(days=days, seconds=1))
    tasks.expire()
    job.refresh_from_db()


def exported(world: World, job: Job) -> bytes:
    content: bytes = world["summit"].get(f"jobs/{job.pk}/bundle").content
    return content


def checks_of(content: bytes | dict[str, Any]) -> list[Check]:
    given = json.loads(content) if isinstance(content, bytes) else content
    return list(verify_bundle(given, checks=[round_checks]).checks)


def status(checks: list[Check], name: str) -> list[tuple[str, str]]:
    return [(c.status, c.detail) for c in checks if c.name.endswith(name)]


def expiries(job: Job) -> int:
    events = Event.objects.filter(subject_id=str(job.pk), tag="federation:contributions:expired")
    return events.count()


def test_nothing_goes_before_its_time_or_of_a_job_that_runs(world: World, job: Job) -> None:
    running = world.start()
    world.all_work(CAST[:1], Work.TRAIN)
    days = settings.FSC_CONFIG.jobs.retention_days
    old = timezone.now() - timedelta(days=days + 1)
    Job.objects.filter(pk=running.pk).update(created_at=old, started_at=old)
    Job.objects.filter(pk=job.pk).update(ended_at=old + timedelta(days=1, seconds=60))
    tasks.expire()
    assert not sent("contribution").filter(expired__isnull=False).exists()
    assert (expiries(job), expiries(running)) == (0, 0)


def test_ciphertexts_go_and_digests_stay(world: World, job: Job) -> None:
    before = {row.pk: row.digest for row in sent("contribution").filter(attempt__agreement=job)}
    signed = {row.pk: row.signed for row in sent("contribution").filter(attempt__agreement=job)}
    expire(job)
    rows = list(sent("contribution").filter(attempt__agreement=job))
    assert {row.pk: row.digest for row in rows} == before
    for row in rows:
        assert bytes(row.content) == b""
        assert row.expired["envelope"] == row.digest
        assert row.expired["ciphertexts"] == len(signed[row.pk].body.ciphertexts)
    assert not Attempt.objects.filter(agreement=job).exclude(product=None).exists()
    assert job.expired_at is not None
    tasks.expire()
    assert expiries(job) == 1


def test_a_bundle_made_afterwards_says_what_expired_and_verifies_the_rest(
    world: World, job: Job, tmp_path: Path
) -> None:
    early = exported(world, job)
    expire(job)
    late = exported(world, job)
    checks = checks_of(late)
    assert not [c for c in checks if c.status == "failed"]
    assert status(checks, "retention")[0][0] == "ok"
    gone = status(checks, "contributions")
    assert len(gone) == 2
    assert all(s == "skipped" and d.startswith("expired by retention: 3") for s, d in gone)
    assert [s for s, _ in status(checks, "release")] == ["ok", "ok"]
    assert "signed shares combine to the sum" in status(checks, "release")[0][1]
    assert [s for s, _ in status(checks, "in the log")] == ["ok", "ok"]
    assert not [c for c in checks_of(early) if c.status == "failed"], "it stays whole"
    (tmp_path / "late.json").write_bytes(late)
    replayed = replay_job(load_bundle(tmp_path / "late.json"))
    assert replayed.state.digest() == job.model_digest
    (state,) = second_verifier.verify(late)
    assert state.digest() == job.model_digest


def edited(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The bundle with its job record changed, and made anew as a file."""
    given = json.loads(content)
    change(given["sections"]["jobs"][0])
    return Bundle.model_validate(given | {"digest": None}).to_bytes()


def other_member(record: dict[str, Any]) -> None:
    record["attempts"][0]["expired"][0]["envelope"] = "0" * 64


def fewer_members(record: dict[str, Any]) -> None:
    del record["attempts"][0]["expired"][1:]


def stranger(record: dict[str, Any]) -> None:
    record["attempts"][0]["expired"][0]["organization"] = "harbor"


def other_sum(record: dict[str, Any]) -> None:
    record["attempts"][0]["release"]["values"][0] += 1


def no_shares(record: dict[str, Any]) -> None:
    del record["attempts"][0]["shares"][1:]


@pytest.mark.parametrize("change", [other_member, fewer_members, stranger, other_sum, no_shares])
def test_what_is_left_cannot_be_changed(
    world: World, job: Job, change: Callable[[dict[str, Any]], None]
) -> None:
    expire(job)
    forged = edited(exported(world, job), change)
    assert [c for c in checks_of(forged) if c.status == "failed"]
    with pytest.raises((second_verifier.Wrong, ArithmeticError, LookupError, ValueError)):
        second_verifier.verify(forged)


def test_contributions_are_not_left_out_without_an_event(world: World, job: Job) -> None:
    """Who exports an early bundle cannot strip it and call that retention."""
    early = exported(world, job)
    expire(job)
    late = json.loads(exported(world, job))["sections"]["jobs"][0]

    def strip(record: dict[str, Any]) -> None:
        for attempt, after in zip(record["attempts"], late["attempts"], strict=True):
            attempt["contributions"], attempt["expired"] = [], after["expired"]

    forged = edited(early, strip)
    assert status(checks_of(forged), "retention") == [
        ("failed", "contributions are missing, and no event says that they expired")
    ]
    with pytest.raises(second_verifier.Wrong, match="no event says that contributions expired"):
        second_verifier.verify(forged)


def test_no_site_charges_or_decrypts_for_what_expired(world: World, job: Job) -> None:
    expire(job)
    found = current(job)
    transcript = world["summit"].transcript(task_for(found))
    assert not transcript.contributions
    with pytest.raises(Refused) as refused:
        transcript_check(transcript, agreement=job.terms)
    assert refused.value.reason is Reason.CONTRIBUTION_EXPIRED
    whole = json.loads(transcript.canonical())
    for wrong in ({"expired": []}, {"contributions": [1]}):
        with pytest.raises(InvalidInput):
            Transcript.parse(whole | wrong)


def test_a_site_that_comes_too_late_is_not_asked_for_a_verdict(world: World) -> None:
    job = world.start(rounds=1)
    world.all_work(CAST, Work.TRAIN)
    world.all_work(CAST, Work.CHARGE)
    world.all_work(CAST, Work.DECRYPT)
    world.all_work(CAST[:2], Work.VERIFY)
    job.refresh_from_db()
    assert [task.kind for task in world["summit"].inbox().tasks] == [Work.VERIFY]
    expire(job)
    assert world["summit"].inbox().tasks == ()


def test_masked_vectors_go_too_and_the_sum_is_said_to_be_unchecked(world: World) -> None:
    job = world.start(aggregation="masked")
    play(world, job)
    vectors = list(MaskedVector.objects.filter(attempt__agreement=job))
    assert all(storages["blobs"].exists(vector.key) for vector in vectors)
    expire(job)
    assert not any(storages["blobs"].exists(vector.key) for vector in vectors)
    assert not MaskedVector.objects.filter(attempt__agreement=job, deleted_at=None).exists()
    content = exported(world, job)
    checks = checks_of(content)
    assert not [c for c in checks if c.status == "failed"]
    assert {s for s, _ in status(checks, "release")} == {"skipped"}
    assert "expired by retention" in status(checks, "release")[0][1]
    assert [d for _, d in status(checks, "shares")] == ["3 signed shares"] * 2
    with pytest.raises(InvalidInput, match="expired by retention"):
        replay_job(Bundle.model_validate(json.loads(content)))


class Died(BaseException):
    """The worker ends here."""


@pytest.mark.parametrize("dies_in", ["vector_delete", "expired_of", "agreement_event"])
def test_a_worker_that_dies_leaves_the_rest_to_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, dies_in: str
) -> None:
    job = world.start(aggregation="masked", rounds=1)
    play(world, job)
    module = retention if dies_in == "agreement_event" else played
    real, calls = getattr(module, dies_in), []

    def die_the_second_time(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2 or dies_in == "agreement_event":
            raise Died
        return real(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(module, dies_in, die_the_second_time)
        with pytest.raises(Died):
            expire(job)
    job.refresh_from_db()
    assert (job.expired_at, expiries(job)) == (None, 0)
    assert not sent("contribution").filter(attempt__agreement=job, content=b"").exists()
    expire(job)
    assert expiries(job) == 1
    vectors = MaskedVector.objects.filter(attempt__agreement=job)
    assert not any(storages["blobs"].exists(vector.key) for vector in vectors)
    told = Event.objects.filter(subject_id=str(job.pk), tag="federation:vector:deleted")
    assert told.count() == vectors.count() == 3


def test_the_page_says_until_when_and_since_when(
    world: World, job: Job, northwind_auditor: Client
) -> None:
    def page() -> str:
        answer = northwind_auditor.get(f"/o/northwind/jobs/{job.pk}/", secure=True)
        return str(answer.content.decode())

    assert "ciphertexts are kept until" in page().replace("&#x27;", "'")
    expire(job)
    assert "ciphertexts were deleted on" in page().replace("&#x27;", "'")
