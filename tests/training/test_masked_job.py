"""A masked job on the portal: its vectors arrive in octets beside the messages, and add up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.storage import storages

from apps.attempts.models import Attempt
from apps.provenance.models import Event
from apps.training import storage
from apps.training.models import Job, MaskedVector, ModelState, SumPart
from apps.training.services import sums
from apps.training.services.incoming import incoming_locked, incoming_sweep
from apps.training.services.vectors import vector_delete
from federated.protocol.masked import masked_bytes
from federated.wire.site import Work
from tests.rows import sent
from tests.training.test_job_whole import play
from tests.training.world import CAST, Site, World, current, task_for


@pytest.fixture(autouse=True)
def empty_storage(tmp_path: Path, settings: Any) -> Iterator[Path]:
    options = {"location": tmp_path / "blobs"}
    chosen = {"BACKEND": "apps.common.blobs.DurableStorage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "blobs": chosen}
    yield tmp_path / "blobs"


@pytest.fixture
def job(world: World) -> Job:
    return world.start(aggregation="masked")


@pytest.fixture
def found(job: Job) -> Attempt:
    return current(job)


@pytest.fixture
def site(world: World) -> Site:
    return world["summit"]


@pytest.fixture
def made(site: Site, found: Attempt) -> tuple[Any, str, bytes]:
    """A contribution, its vector's digest and bytes."""
    signed = site.contribution(task_for(found))
    return signed, signed.body.masked, site.vectors[signed.body.masked]


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def incoming() -> list[Path]:
    folder = Path(settings.FSC_CONFIG.blob_dir) / "incoming"
    return list(folder.iterdir()) if folder.is_dir() else []


def test_three_sites_train_one_masked_model(world: World, job: Job) -> None:
    play(world, job)
    assert (job.state, job.reason) == (Job.State.FINISHED, "")
    # Each site fetched every vector, and recomputed the same model.
    assert {world[slug].states[str(job.pk)].digest() for slug in CAST} == {job.model_digest}
    first = job.attempts.get(number=1).wire_release
    assert first is not None
    assert (first.values, len(first.sum or "")) == ((), 64)
    stored = Event.objects.filter(subject_id=str(job.pk), tag="federation:vector:stored")
    assert stored.count() == MaskedVector.objects.count() == 6
    assert not incoming()


def test_workers_sum_in_parts_what_is_too_large_for_one(
    world: World, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "AT_ONCE_BYTES", 0)
    monkeypatch.setattr(sums, "PART_WORDS", 1)
    found = world.to_decrypting(job)
    assert not sums.sum_ready(found)
    # The first dies with a part leased: another worker takes it over once the lease is over.
    sums._parts_make(found)
    taken = sums._part_claim(found)
    assert taken is not None
    sums.vectors_sum_step(found.pk)
    assert not sums.sum_ready(found)
    world.all_work(CAST, Work.DECRYPT)
    assert current(job).pk == found.pk
    SumPart.objects.filter(pk=taken.pk).update(leased_until=found.opened_at)
    sums.vectors_sum_step(found.pk)
    assert sums.sum_ready(found)
    words = masked_bytes(job.terms) // 8
    assert SumPart.objects.filter(attempt=found).count() == words == 2
    play(world, job)
    job.refresh_from_db()
    assert {world[slug].states[str(job.pk)].digest() for slug in CAST} == {
        Job.objects.get().attempts.get(number=1).wire_release.state
    }
    assert sums.sum_parts_sweep() == words
    assert not SumPart.objects.filter(attempt=found).exists()


def test_parts_that_a_lost_vector_spoils_end_the_attempt(
    world: World, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "AT_ONCE_BYTES", 0)
    found = world.to_charging(job)
    vector = MaskedVector.objects.filter(attempt=found).first()
    assert vector is not None
    storages["blobs"].delete(vector.key)
    sums.vectors_sum_step(found.pk)
    found.refresh_from_db()
    assert found.state == Attempt.State.ABANDONED
    assert f"masked vector of {vector.organization} is not in the storage" in found.reason
    assert current(job).attempt == 2


def test_a_vector_that_storage_changed_ends_the_attempt(world: World, job: Job) -> None:
    found = world.to_decrypting(job)
    vector = MaskedVector.objects.filter(attempt=found).first()
    assert vector is not None
    Path(storages["blobs"].path(vector.key)).write_bytes(b"\0" * vector.size)
    world.all_work(CAST, Work.DECRYPT)
    found.refresh_from_db()
    assert (found.state, "has digest" in found.reason) == (Attempt.State.ABANDONED, True)


def test_the_same_vector_again_is_fine(site: Site, found: Attempt, made: Any) -> None:
    _, digest, body = made
    first, second = (site.put(task_for(found), digest, body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 200)
    assert MaskedVector.objects.count() == 1
    Attempt.objects.filter(pk=found.pk).update(state=Attempt.State.CHARGING)
    assert site.put(task_for(found), digest, body).status_code == 200


def test_in_parts_with_a_break(site: Site, found: Attempt, made: Any) -> None:
    _, digest, body = made
    size, task = len(body), task_for(found)

    def part(start: int, end: int) -> Any:
        header = f"bytes {start}-{end - 1}/{size}"
        return site.put(task, digest, body[start:end], **{"content-range": header})

    def ask() -> Any:
        return site.put(task, digest, b"", **{"content-range": f"bytes */{size}"})

    assert (ask().status_code, ask().json()["received"]) == (202, 0)
    assert (part(0, 5).status_code, ask().json()["received"]) == (202, 5)
    late = part(9, size)
    assert code(late) == (409, "part_missing")
    assert part(3, 9).json()["received"] == 9
    assert part(9, size).status_code == 201
    assert ask().json()["received"] == size
    assert not incoming()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body: body[:-1], "15 bytes: 16 are allowed"),
        (lambda body: body + b"\0", "17 bytes: 16 are allowed"),
        (lambda body: b"", "0 bytes: 16 are allowed"),
        (lambda body: body[::-1], "its address says"),
    ],
)
def test_wrong_bytes_are_refused_and_nothing_is_kept(
    site: Site, found: Attempt, made: Any, change: Any, said: str
) -> None:
    _, digest, body = made
    answer = site.put(task_for(found), digest, change(body))
    assert code(answer) == (422, "invalid_input")
    assert said in answer.json()["detail"]
    assert not MaskedVector.objects.exists()
    assert not incoming()


@pytest.mark.parametrize(
    "header", ["bytes 0-15", "bytes 0-14/16", "bytes 1-16/16", "bytes 5-3/16", "lines 0-15/16"]
)
def test_a_range_that_does_not_fit(site: Site, found: Attempt, made: Any, header: str) -> None:
    _, digest, body = made
    answer = site.put(task_for(found), digest, body, **{"content-range": header})
    assert code(answer) == (422, "invalid_input")
    assert not MaskedVector.objects.exists()


def test_another_vector_after_the_first(site: Site, found: Attempt, made: Any) -> None:
    _, digest, body = made
    site.put(task_for(found), digest, body)
    other = hashlib.sha256(body[::-1]).hexdigest()
    assert code(site.put(task_for(found), other, body[::-1])) == (409, "already_sent")
    assert MaskedVector.objects.get().digest == digest


def test_an_unfinished_upload_makes_way_for_another(site: Site, found: Attempt, made: Any) -> None:
    _, digest, body = made
    other = hashlib.sha256(body[::-1]).hexdigest()
    header = {"content-range": "bytes 0-3/16"}
    assert site.put(task_for(found), other, body[:4], **header).status_code == 202
    assert site.put(task_for(found), digest, body[:4], **header).status_code == 202
    assert len(incoming()) == 1
    assert incoming_sweep() == 0
    assert incoming_sweep(older_than=-1.0) == 1


def test_a_contribution_without_its_vector(site: Site, found: Attempt, made: Any) -> None:
    signed, digest, body = made
    path = f"{site.path(task_for(found))}/contribution"
    assert code(site.post(path, signed)) == (422, "vector_missing")
    assert not sent("contribution").exists()
    site.put(task_for(found), digest, body)
    assert site.post(path, signed).status_code == 201


def test_a_contribution_with_another_sites_vector(world: World, found: Attempt, made: Any) -> None:
    signed, digest, body = made
    world["lakeside"].put(task_for(found), digest, body)
    path = f"{world['summit'].path(task_for(found))}/contribution"
    assert code(world["summit"].post(path, signed)) == (422, "vector_missing")


def test_after_the_close(site: Site, found: Attempt, made: Any) -> None:
    _, digest, body = made
    Attempt.objects.filter(pk=found.pk).update(state=Attempt.State.CHARGING)
    assert code(site.put(task_for(found), digest, body)) == (409, "closed")
    assert not MaskedVector.objects.exists()


def test_a_packed_job_takes_none(world: World) -> None:
    found = current(world.start())
    digest = hashlib.sha256(b"").hexdigest()
    answer = world["summit"].put(task_for(found), digest, b"")
    assert code(answer) == (422, "invalid_input")


def test_another_content_type(site: Site, found: Attempt, made: Any) -> None:
    path = f"/api/{site.path(task_for(found))}/vectors/{made[1]}"
    answer = site.client.put(path, made[2], content_type="application/json")
    assert code(answer) == (415, "unsupported_media_type")


def test_who_reads_a_vector(
    world: World, job: Job, lakeside_auditor: Any, harbor_admin: Any, northwind_scientist: Any
) -> None:
    found = current(job)
    world["summit"].work(Work.TRAIN)
    (digest,) = world["summit"].vectors
    path = f"jobs/{job.pk}/rounds/1/1/vectors/{digest}"
    # Before the close it is its owner's alone.
    assert world["summit"].get(path).status_code == 200
    assert code(world["lakeside"].get(path)) == (404, "not_found")
    for slug in ("lakeside", "northwind"):
        world[slug].work(Work.TRAIN)
    world.all_work(())
    found.refresh_from_db()
    assert found.cohort is not None
    whole = world["lakeside"].get(path)
    assert whole.getvalue() == world["summit"].vectors[digest]
    rest = world["lakeside"].get(path, range="bytes=5-")
    assert (rest.status_code, rest.getvalue()) == (206, world["summit"].vectors[digest][5:])
    assert world["lakeside"].get(path, range="bytes=16-").status_code == 416
    assert lakeside_auditor.get(f"/o/lakeside/api/{path}").status_code == 200
    assert code(world["harbor"].get(path)) == (404, "not_found")
    assert harbor_admin.get(f"/o/harbor/api/{path}").status_code == 404
    harbor = world["harbor"].put(task_for(found), digest, b"0" * 16)
    assert code(harbor) == (404, "not_found")
    person = northwind_scientist.put(f"/o/northwind/api/{path}", b"", content_type="text/plain")
    assert person.status_code == 403
    unknown = f"jobs/{job.pk}/rounds/1/1/vectors/{'0' * 64}"
    assert world["lakeside"].get(unknown).status_code == 404


def test_a_deleted_vector_keeps_its_digest(world: World, job: Job) -> None:
    found = world.to_charging(job)
    vector = MaskedVector.objects.filter(attempt=found).first()
    assert vector is not None
    assert vector_delete(vector=vector, reason="retention")
    assert not vector_delete(vector=vector, reason="retention")
    assert not storages["blobs"].exists(vector.key)
    path = f"jobs/{job.pk}/rounds/1/1/vectors/{vector.digest}"
    assert world["summit"].get(path).status_code == 404
    assert Event.objects.filter(tag="federation:vector:deleted").count() == 1
    # What was stored once is not asked for again.
    sender = world[vector.organization]
    body = sender.vectors[vector.digest]
    assert sender.put(task_for(found), vector.digest, body).status_code == 200


def test_a_second_request_for_the_same_vector_waits(site: Site, found: Attempt, made: Any) -> None:
    _, digest, body = made
    with incoming_locked(f"{found.pk}.summit", digest):
        assert code(site.put(task_for(found), digest, body)) == (503, "unavailable")
    assert site.put(task_for(found), digest, body).status_code == 201


def test_large_states_lie_in_storage(
    world: World, monkeypatch: pytest.MonkeyPatch, empty_storage: Path
) -> None:
    monkeypatch.setattr(storage, "INLINE_BYTES", 0)
    job = world.start()
    play(world, job)
    assert job.state == Job.State.FINISHED
    rows = list(ModelState.objects.filter(job=job))
    assert [(row.step, row.content) for row in rows] == [(0, None), (1, None), (2, None)]
    assert len(list((empty_storage / str(job.pk) / "states").iterdir())) == 3
    answer = world["summit"].get(f"models/{job.model_digest}")
    assert hashlib.sha256(answer.getvalue()).hexdigest() == job.model_digest
    assert world["harbor"].get(f"models/{job.model_digest}").status_code == 404
    assert world["summit"].get(f"jobs/{job.pk}/bundle").status_code == 200
