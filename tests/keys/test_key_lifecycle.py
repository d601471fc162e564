"""A key is superseded by the next, retired when no job needs it, destroyed when all say so."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from apps.attempts import tasks
from apps.common.actor import Actor
from apps.keys.models import KeyEpoch, KeyRetirement, SealedShare
from apps.keys.services import key_epoch_publish
from apps.organizations.models import SiteCertificate
from apps.provenance.models import Event
from apps.training.models import Job
from federated.wire import key as wire
from federated.wire.site import Work
from tests.training.world import CAST, EVERYBODY, World, dealt, identity_of, workers


@pytest.fixture
def world(db: None) -> World:
    """The first key is active, the second is published."""
    made = World()
    made.publish_key()
    made.confirm_key()
    made.publish_key(2)
    return made


def states() -> dict[int, str]:
    return dict(KeyEpoch.objects.values_list("number", "state"))


def tags(number: int) -> list[str]:
    events = Event.objects.filter(subject_id=dealt(number)[0].digest()).order_by("created_at")
    return [tag.removeprefix("aggregation:key:") for tag in events.values_list("tag", flat=True)]


def retire(world: World, slug: str, **changes: Any) -> tuple[int, str]:
    digest = dealt()[0].digest()
    body = wire.KeyRetired(epoch=digest, organization=slug).model_copy(update=changes)
    answer = world[slug].post(f"keys/{digest}/retirement", world[slug].sign(body))
    return answer.status_code, answer.json().get("code", "")


def test_a_pending_key_does_not_take_new_jobs_from_the_active_one(world: World) -> None:
    assert states() == {1: "active", 2: "pending"}
    told = world["summit"].get("keys/current").json()
    assert told["digest"] == dealt()[0].digest()
    world.confirm_key()
    assert states() == {1: "superseded", 2: "active"}
    assert world["summit"].get("keys/current").json()["digest"] == dealt(2)[0].digest()
    assert world["summit"].get(f"keys/{dealt()[0].digest()}").json()["state"] == "superseded"


def test_running_jobs_finish_under_the_key_that_they_name(world: World) -> None:
    job = world.start(rounds=1)
    world.confirm_key()
    tasks.keys_retire()
    assert states()[1] == "superseded"
    world.all_work(CAST, Work.TRAIN)
    world.all_work(CAST, Work.CHARGE)
    world.all_work(CAST, Work.DECRYPT)
    job.refresh_from_db()
    assert job.state == Job.State.FINISHED
    tasks.keys_retire()
    tasks.keys_retire()
    assert states() == {1: "retired", 2: "active"}
    assert tags(1)[-2:] == ["superseded", "retired"]
    assert KeyEpoch.objects.get(number=1).reason == "nothing uses it; key epoch 2 serves new ones"


@pytest.mark.parametrize("started", [True, False])
def test_a_job_that_still_waits_keeps_its_key(world: World, started: bool) -> None:
    job = world.start() if started else world.propose()
    world.confirm_key()
    tasks.keys_retire()
    assert states()[1] == "superseded"
    Job.objects.filter(pk=job.pk).update(state=Job.State.CANCELLED, ended_at=timezone.now())
    tasks.keys_retire()
    assert states()[1] == "retired"


def test_new_jobs_under_an_older_key_are_refused(world: World) -> None:
    world.confirm_key()
    for known in ("superseded", "retired"):
        answer = world["northwind"].post("jobs", world.proposal(world.spec()))
        assert answer.status_code == 422
        assert f"is {known}; ask for the current key" in answer.json()["detail"]
        tasks.keys_retire()
    spec = world.spec(key_epoch=dealt(2)[0].digest())
    assert world["northwind"].post("jobs", world.proposal(spec)).status_code == 201


def test_retirement_forgets_the_sealed_shares_and_asks_the_sites(world: World) -> None:
    world.confirm_key()
    tasks.keys_retire()
    digest = dealt()[0].digest()
    kept = SealedShare.objects.filter(epoch__digest=digest)
    assert [share.message for share in kept] == [None] * 4
    for slug in EVERYBODY:
        told = world[slug].get(f"keys/{digest}").json()
        assert (told["state"], told["sealed"]) == ("retired", None)
        assert world[slug].work() == [Work.RETIRE]
        assert world[slug].inbox().tasks == ()
    assert states() == {1: "destroyed", 2: "active"}
    assert tags(1)[-5:] == [*["share_destroyed"] * 4, "destroyed"]
    assert KeyEpoch.objects.get(number=1).destroyed_at is not None


def test_the_word_of_a_destroyed_share(world: World) -> None:
    assert retire(world, "summit") == (409, "conflict"), "the key still serves"
    world.confirm_key()
    tasks.keys_retire()
    assert retire(world, "summit", organization="lakeside") == (403, "forbidden")
    assert retire(world, "summit", epoch="0" * 64) == (422, "invalid_input")
    digest = dealt()[0].digest()
    forged = identity_of("summit").sign(wire.KeyRetired(epoch=digest, organization="lakeside"))
    answer = world["lakeside"].post(f"keys/{digest}/retirement", forged)
    assert (answer.status_code, answer.json()["code"]) == (422, "signature_invalid")
    assert retire(world, "summit") == (201, "")
    assert retire(world, "summit") == (200, "")
    KeyRetirement.objects.update(digest="0" * 64)
    assert retire(world, "summit") == (409, "conflict"), "other bytes than before"


def test_a_retired_key_is_not_confirmed_any_more(world: World) -> None:
    call_command("key_retire", "2", "--reason", "dealt on the wrong machine")
    digest = dealt(2)[0].digest()
    body = wire.KeyConfirmation(epoch=digest, organization="summit")
    answer = world["summit"].post(f"keys/{digest}/confirmation", world["summit"].sign(body))
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert states() == {1: "active", 2: "retired"}


def test_a_key_confirmed_late_serves_only_the_jobs_that_wait_for_it(world: World) -> None:
    """Epoch 2 is overtaken by 3 while a job waits for 2."""
    job = world.propose(key_epoch=dealt(2)[0].digest())
    for slug in CAST:
        world[slug].work(Work.APPROVE)
    third, sealed = dealt(2)[0].model_copy(update={"number": 3}), dealt(2)[1]
    world_publish(third, [s.model_copy(update={"epoch": third.digest()}) for s in sealed])
    for slug in EVERYBODY:
        body = wire.KeyConfirmation(epoch=third.digest(), organization=slug)
        world[slug].post(f"keys/{third.digest()}/confirmation", world[slug].sign(body))
    assert states() == {1: "superseded", 2: "superseded", 3: "active"}
    workers()
    job.refresh_from_db()
    assert (job.state, job.reason[:22]) == (Job.State.QUEUED, "waits for a key epoch:")
    world.confirm_key()
    assert states() == {1: "superseded", 2: "superseded", 3: "active"}
    workers()
    job.refresh_from_db()
    assert job.state == Job.State.RUNNING


def world_publish(epoch: wire.KeyEpoch, shares: list[wire.SealedShare]) -> None:
    key_epoch_publish(epoch=epoch, shares=shares, actor=Actor.system("tests"))


def test_an_operator_ends_a_key_with_its_jobs_and_a_reason(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    job = world.start()
    with pytest.raises(CommandError, match="key epoch 1 is in use by job .*, which cannot finish"):
        call_command("key_retire", "1", "--reason", "stolen laptop")
    job.refresh_from_db()
    assert (job.state, states()[1]) == (Job.State.RUNNING, "active")
    call_command("key_retire", "1", "--reason", "stolen laptop", "--end-jobs")
    assert "key epoch 1 is retired" in capsys.readouterr().out
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert job.reason == "key epoch 1 was retired: stolen laptop"
    assert world["summit"].work(Work.RETIRE) == [Work.RETIRE]


@pytest.mark.parametrize(
    ("number", "reason", "said"),
    [
        ("9", "gone", "There is no key epoch 9"),
        ("1", " ", "reason: 1 to 500 characters"),
        ("1", "x" * 501, "reason: 1 to 500 characters"),
    ],
)
def test_what_the_command_refuses(world: World, number: str, reason: str, said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("key_retire", number, "--reason", reason)
    assert states() == {1: "active", 2: "pending"}


def test_a_key_is_retired_once(world: World) -> None:
    call_command("key_retire", "2", "--reason", "not needed")
    with pytest.raises(CommandError, match="is retired already"):
        call_command("key_retire", "2", "--reason", "again")
    assert tags(2).count("retired") == 1


def test_a_site_that_joined_again_is_not_asked_about_its_old_key(world: World) -> None:
    world.confirm_key()
    tasks.keys_retire()
    other = SiteCertificate.objects.get(site__organization__slug="lakeside").pem
    SiteCertificate.objects.filter(site__organization__slug="summit").update(pem=other)
    assert world["summit"].inbox().tasks == ()
