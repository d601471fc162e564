"""Shares, refusals, too few trustees, and verdicts."""

from __future__ import annotations

from typing import Any

from apps.attempts import tasks
from apps.attempts.models import Attempt
from apps.attempts.services import steps
from apps.training.models import Job, ModelState
from apps.training.services import sums
from federated.protocol.share import share_make
from federated.wire.base import decode_bytes, encode_bytes
from federated.wire.round import Reason
from federated.wire.site import Work
from tests.rows import sent
from tests.training.world import (
    CAST,
    EVERYBODY,
    World,
    current,
    pass_deadline,
    pass_grace,
    share_of,
    task_for,
    workers,
)


def post(world: World, slug: str, found: Attempt, kind: str, message: Any) -> tuple[int, str]:
    site = world[slug]
    answer = site.post(f"{site.path(task_for(found))}/{kind}", message)
    return answer.status_code, answer.json().get("code", "")


def test_no_share_before_every_charge(world: World) -> None:
    job = world.start()
    found = world.to_charging(job)
    world.all_work(CAST[:2], Work.CHARGE)
    assert current(job).state == Attempt.State.CHARGING
    early = share_make(
        world["summit"].transcript(task_for(found)),
        agreement=job.terms,
        share=share_of("summit"),
        identity=world["summit"].identity,
    )
    assert post(world, "summit", found, "share", early) == (409, "closed")
    assert not sent("share").exists()


def test_a_receipt_for_another_cost_or_cohort(world: World) -> None:
    found = world.to_charging(world.start())
    good = world["summit"].receipt(task_for(found)).body
    cheap = good.cost.model_copy(update={"rho": good.cost.rho / 2})
    sign = world["summit"].sign
    answers = {
        "cost": sign(good.model_copy(update={"cost": cheap})),
        "cohort": sign(good.model_copy(update={"cohort": "0" * 64})),
        "context": sign(good.model_copy(update={"context": "0" * 64})),
    }
    codes = {name: post(world, "summit", found, "receipt", m)[1] for name, m in answers.items()}
    assert codes == {
        "cost": "charge_mismatch",
        "cohort": "cohort_mismatch",
        "context": "context_mismatch",
    }
    assert not found.messages.filter(name="receipt").exists()


def test_a_receipt_of_who_is_not_in_the_cohort(world: World) -> None:
    job = world.start(EVERYBODY, minimum_cohort=3)
    for _ in range(2):
        world.all_work(CAST, Work.TRAIN)
        pass_deadline(current(job))
    found = current(job)
    receipt = world["harbor"].receipt(task_for(found))
    assert post(world, "harbor", found, "receipt", receipt) == (422, "cohort_mismatch")


def test_wrong_shares_are_refused_by_name(world: World) -> None:
    found = world.to_decrypting(world.start())
    site = world["summit"]
    good = site.share(task_for(found)).body
    raw = bytearray(decode_bytes(good.partials[0]))
    raw[-1] ^= 1
    changes: dict[str, dict[str, Any]] = {
        "partial": {"partials": (encode_bytes(bytes(raw)),)},
        "index": {"index": good.index - 1},
        "cohort": {"cohort": "0" * 64},
        "count": {"partials": good.partials * 2},
        "proof": {"proof": ""},
    }
    for name, change in changes.items():
        wrong = site.sign(good.model_copy(update=change))
        status, code = post(world, "summit", found, "share", wrong)
        assert status == 422, (name, code)
    assert post(world, "summit", found, "share", site.sign(good)) == (201, "")
    assert post(world, "summit", found, "share", site.sign(good)) == (200, "")


def test_fewer_than_t_trustees_wait_then_the_attempt_is_abandoned(world: World) -> None:
    job = world.start()
    found = world.to_decrypting(job)
    world.all_work(CAST[:2], Work.DECRYPT)
    assert current(job).state == Attempt.State.DECRYPTING
    pass_deadline(found)
    found.refresh_from_db()
    assert found.state == Attempt.State.ABANDONED
    assert found.reason == "fewer than 3 trustees (2 of 3 shares) by the deadline"
    assert found.release is None
    assert (current(job).number, current(job).attempt) == (1, 2)


def test_refusals_that_leave_too_few_trustees_abandon_at_once(world: World) -> None:
    job = world.start(EVERYBODY)
    found = world.to_decrypting(job, EVERYBODY)
    refuse = {slug: world[slug].refusal(found) for slug in ("harbor", "summit")}
    assert post(world, "harbor", found, "refusal", refuse["harbor"]) == (201, "")
    workers()
    assert current(job).pk == found.pk, "three of four trustees may still answer"
    assert post(world, "summit", found, "refusal", refuse["summit"]) == (201, "")
    workers()
    found.refresh_from_db()
    assert found.state == Attempt.State.ABANDONED
    assert "fewer than 3 trustees" in found.reason
    assert "summit refuses, cohort_already_served" in found.reason


def test_a_refusal_of_something_else_is_kept_and_does_not_count(world: World) -> None:
    """A site that was shown another cohort says so: evidence against the coordinator."""
    job = world.start()
    found = world.to_decrypting(job)
    alone = world["summit"].refusal(
        found, cohort="1" * 64, reason=Reason.COHORT_BELOW_MINIMUM, detail="1 contribution"
    )
    assert post(world, "summit", found, "refusal", alone) == (201, "")
    assert post(world, "summit", found, "refusal", alone) == (200, "")
    row = sent("refusal").get()
    assert (row.counts, row.reason, row.organization) == (False, "cohort_below_minimum", "summit")
    workers()
    assert current(job).state == Attempt.State.DECRYPTING
    world.all_work(CAST, Work.DECRYPT)
    assert current(job).number == 2


def test_a_refusal_to_charge_ends_the_attempt(world: World) -> None:
    job = world.start()
    found = world.to_charging(job)
    no = world["lakeside"].refusal(found, reason=Reason.BUDGET_EXCEEDED, detail="0.2 too much")
    assert post(world, "lakeside", found, "refusal", no) == (201, "")
    assert [t.kind for t in world["lakeside"].inbox().tasks] == []
    workers()
    found.refresh_from_db()
    assert found.reason == "no charge: lakeside refuses, budget_exceeded: 0.2 too much"
    assert current(job).attempt == 2


def asked(world: World) -> list[str]:
    return [s for s in EVERYBODY if Work.DECRYPT in [t.kind for t in world[s].inbox().tasks]]


def test_as_many_trustees_are_asked_as_are_needed(world: World) -> None:
    job = world.start(EVERYBODY)
    found = world.to_decrypting(job, EVERYBODY)
    assert asked(world) == ["lakeside", "northwind", "summit"]
    no = world["summit"].refusal(found)
    assert post(world, "summit", found, "refusal", no) == (201, "")
    assert asked(world) == ["harbor", "lakeside", "northwind"]


def test_all_trustees_are_asked_when_some_are_silent(world: World) -> None:
    job = world.start(EVERYBODY)
    found = world.to_decrypting(job, EVERYBODY)
    world.all_work(("lakeside",), Work.DECRYPT)
    pass_grace(found)
    assert asked(world) == ["harbor", "northwind", "summit"]


def test_releasing_twice_is_releasing_once(world: World) -> None:
    job = world.start()
    found = world.to_decrypting(job)
    for slug in CAST:
        world[slug].work(Work.DECRYPT)
    assert steps.attempt_release(found.pk) is True
    assert steps.attempt_release(found.pk) is False
    tasks.release(str(found.pk))
    assert ModelState.objects.filter(job=job).count() == 2
    assert Attempt.objects.filter(agreement=job).count() == 2


def test_a_dead_workers_release_is_taken_over_after_its_lease(world: World) -> None:
    job = world.start()
    found = world.to_decrypting(job)
    for slug in CAST:
        world[slug].work(Work.DECRYPT)
    assert steps.lease_take(found), "the worker that dies"
    assert steps.attempt_release(found.pk) is False
    Attempt.objects.filter(pk=found.pk).update(leased_until=found.opened_at)
    workers()
    assert current(job).number == 2


def test_a_share_after_the_release_is_late(world: World) -> None:
    job = world.start(EVERYBODY)
    found = world.to_decrypting(job, EVERYBODY)
    late = world["summit"].share(task_for(found))
    pass_grace(found)
    world.all_work(("harbor", "lakeside", "northwind"), Work.DECRYPT)
    assert post(world, "summit", found, "share", late) == (409, "closed")
    assert sent("share").filter(attempt=found).count() == 3


def test_the_kept_product_is_the_computed_one(world: World) -> None:
    found = world.to_charging(world.start())
    computed = sums.round_sum(found.pk)
    found.refresh_from_db()
    assert found.product is not None
    assert sums.round_sum(found.pk) == computed


def test_a_verdict_that_disagrees_fails_the_job(world: World) -> None:
    job = world.start()
    world.to_decrypting(job)
    world.all_work(CAST, Work.DECRYPT)
    released = job.attempts.get(number=1)
    no = world["lakeside"].verdict(task_for(released), agrees=False, detail="another state")
    assert post(world, "lakeside", released, "verdict", no) == (201, "")
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert job.reason == (
        "lakeside does not agree with the release of round 1, attempt 1: another state"
    )
    assert not sent("verdict").get().agrees
    assert current(job).state == Attempt.State.ABANDONED


def test_a_verdict_for_another_release(world: World) -> None:
    job = world.start()
    world.to_decrypting(job)
    world.all_work(CAST, Work.DECRYPT)
    released = job.attempts.get(number=1)
    wrong = world["lakeside"].verdict(task_for(released), release="0" * 64)
    assert post(world, "lakeside", released, "verdict", wrong) == (422, "invalid_input")
    assert not sent("verdict").exists()
