"""Closing an attempt: full, at the deadline with n0, below it, and in spite of crashes."""

from __future__ import annotations

import pytest
from django.db import transaction

from apps.attempts.models import Attempt
from apps.attempts.services.steps import attempt_advance
from apps.common.coordinator import as_coordinator
from apps.provenance.models import Event
from apps.training.models import Job
from apps.training.services import machine
from federated.wire.site import Work
from tests.training.world import (
    CAST,
    EVERYBODY,
    World,
    current,
    pass_deadline,
    pass_grace,
    workers,
)


def test_closes_when_everybody_has_contributed(world: World) -> None:
    job = world.start()
    world.all_work(CAST[:2], Work.TRAIN)
    assert current(job).state == Attempt.State.COLLECTING
    world.all_work(CAST[2:], Work.TRAIN)
    assert (current(job).state, current(job).members) == (Attempt.State.CHARGING, list(CAST))


def test_closes_at_the_deadline_with_the_minimum(world: World) -> None:
    """A site killed mid-round costs its contribution and an attempt, not the round."""
    job = world.start(EVERYBODY, minimum_cohort=3)
    world.all_work(CAST, Work.TRAIN)
    assert current(job).state == Attempt.State.COLLECTING
    pass_deadline(current(job))
    second = current(job)
    assert (second.attempt, second.wire_context.minimum_cohort) == (2, 0)
    world.all_work(CAST, Work.TRAIN)
    pass_deadline(second)
    found = current(job)
    assert (found.state, found.attempt, found.members) == (Attempt.State.CHARGING, 2, list(CAST))
    # Who is not in the cohort has nothing to charge, but is a trustee all the same.
    assert Work.CHARGE not in [task.kind for task in world["harbor"].inbox().tasks]
    world.all_work(CAST, Work.CHARGE)
    pass_grace(current(job))
    world.all_work(("harbor", "lakeside", "summit"), Work.DECRYPT)
    third = current(job)
    assert (third.number, third.wire_context.minimum_cohort) == (2, 0), "three are expected now"


def test_a_first_attempt_asks_for_all_and_charges_nobody_below_it(world: World) -> None:
    job = world.start(EVERYBODY, minimum_cohort=3)
    first = current(job)
    assert first.wire_context.minimum_cohort == 4
    world.all_work(CAST, Work.TRAIN)
    pass_deadline(first)
    first.refresh_from_db()
    assert (first.state, first.cohort) == (Attempt.State.ABANDONED, None)
    assert first.reason.endswith("(lakeside, northwind, summit), the attempt's minimum is 4")
    assert not any(t.kind is Work.CHARGE for s in EVERYBODY for t in world[s].inbox().tasks)


def test_below_the_minimum_nothing_is_charged_and_a_new_attempt_opens(world: World) -> None:
    job = world.start()
    world.all_work(CAST[:2], Work.TRAIN)
    first = current(job)
    pass_deadline(first)
    first.refresh_from_db()
    assert (first.state, first.cohort) == (Attempt.State.ABANDONED, None)
    assert "2 contributions (lakeside, northwind), the attempt's minimum is 3" in first.reason
    second = current(job)
    assert (second.number, second.attempt, second.state) == (1, 2, Attempt.State.COLLECTING)
    assert second.context_digest != first.context_digest
    assert not any(t.kind is Work.CHARGE for s in CAST for t in world[s].inbox().tasks)


def test_four_abandoned_attempts_fail_the_job_with_the_reason(world: World) -> None:
    job = world.start()
    for _ in range(4):
        pass_deadline(current(job))
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert job.reason == (
        "round 1 failed 4 times, at last: 0 contributions (nobody), the attempt's minimum is 3"
    )
    assert job.attempts.count() == 4


def test_a_member_that_does_not_charge_costs_the_attempt(world: World) -> None:
    job = world.start()
    found = world.to_charging(job)
    world.all_work(CAST[:2], Work.CHARGE)
    pass_deadline(found)
    found.refresh_from_db()
    assert found.state == Attempt.State.ABANDONED
    assert found.reason == "no charge receipt of summit by the deadline"
    assert current(job).attempt == 2


class Crash(Exception):
    pass


def test_a_crash_between_claim_and_commit_leaves_the_state_before(world: World) -> None:
    job = world.start()
    for slug in CAST:
        world[slug].work(Work.TRAIN)
    found = current(job)
    with pytest.raises(Crash), as_coordinator(), transaction.atomic():
        attempt_advance(found.pk)
        assert current(job).state == Attempt.State.CHARGING
        raise Crash
    assert current(job).state == Attempt.State.COLLECTING
    workers()
    after = current(job)
    assert (after.state, after.members) == (Attempt.State.CHARGING, list(CAST))
    assert Event.objects.filter(tag="federation:round:closed").count() == 1


def test_closing_twice_is_closing_once(world: World) -> None:
    job = world.start()
    for slug in CAST:
        world[slug].work(Work.TRAIN)
    stale = current(job)
    for _ in range(3):
        attempt_advance(stale.pk)
        machine.job_advance(job.pk)
    attempt_advance(stale.pk)
    assert Event.objects.filter(tag="federation:round:closed").count() == 1
    assert Attempt.objects.filter(agreement=job).count() == 1


def test_a_running_job_without_an_open_attempt_gets_one(world: World) -> None:
    """Whatever was lost, the tick drives on."""
    job = world.start()
    found = current(job)
    Attempt.objects.filter(pk=found.pk).update(state=Attempt.State.ABANDONED, reason="lost")
    workers()
    assert (current(job).attempt, current(job).state) == (2, Attempt.State.COLLECTING)
