"""Trustees that never come back: k - t of them are survived, one more ends the attempt."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from apps.attempts.models import Attempt
from apps.training.models import Job
from tests.federated.client.portal import SiteAtWork, home_make
from tests.training.world import (
    EVERYBODY,
    World,
    current,
    dealt,
    pass_deadline,
    pass_grace,
    workers,
)

LEFT = ("lakeside", "northwind")


@pytest.fixture
def sites(db: None, tmp_path: Path) -> dict[str, SiteAtWork]:
    return {slug: SiteAtWork(home_make(tmp_path, slug)) for slug in EVERYBODY}


@pytest.fixture
def job(sites: dict[str, SiteAtWork]) -> Job:
    """Of four trustees, any three of which decrypt; its first round is released."""
    world = World()
    world.publish_key()
    step(sites)
    made = world.propose(EVERYBODY)
    while current_or_none(made) is None or current(made).number == 1:
        step(sites)
    assert (dealt()[0].threshold, len(dealt()[0].trustees)) == (3, 4)
    return made


def current_or_none(job: Job) -> Attempt | None:
    return Attempt.objects.filter(agreement=job).first()


def step(sites: dict[str, SiteAtWork]) -> None:
    for site in sites.values():
        site.step()
    workers()


def committed(site: SiteAtWork) -> Counter[tuple[int, int]]:
    charges = site.home.ledger.report(site.slug).charges
    return Counter((c.round, c.attempt) for c in charges if c.state == "committed")


def test_a_job_releases_with_as_many_trustees_gone_as_the_key_allows(
    job: Job, sites: dict[str, SiteAtWork]
) -> None:
    del sites["harbor"]
    step(sites)
    asked = current(job)
    assert asked.wire_context.minimum_cohort == 4, "all came before, so that little noise will do"
    pass_deadline(asked)
    asked.refresh_from_db()
    assert asked.state == Attempt.State.ABANDONED
    assert asked.reason == (
        "3 contributions (lakeside, northwind, summit), the attempt's minimum is 4"
    )
    step(sites)
    assert current(job).wire_context.minimum_cohort == 0
    pass_deadline(current(job))
    for _ in range(4):
        step(sites)
    job.refresh_from_db()
    assert (job.state, job.reason) == (Job.State.FINISHED, "")
    last = current(job)
    assert (last.number, last.attempt, last.members) == (2, 2, ["lakeside", "northwind", "summit"])
    for site in sites.values():
        assert committed(site) == {(1, 1): 1, (2, 2): 1}, "the attempt asking for four is free"


def test_a_trustee_lost_between_its_charge_and_its_share_is_survived(
    job: Job, sites: dict[str, SiteAtWork]
) -> None:
    step(sites)
    step(sites)
    assert current(job).state == Attempt.State.DECRYPTING
    del sites["harbor"]
    pass_grace(current(job))
    step(sites)
    step(sites)
    job.refresh_from_db()
    assert job.state == Job.State.FINISHED
    assert current(job).members == list(EVERYBODY), "what it contributed is in the sum"


def test_one_more_ends_the_attempt_with_its_reason_and_no_second_charge(
    job: Job, sites: dict[str, SiteAtWork]
) -> None:
    while current(job).state != Attempt.State.DECRYPTING:
        step(sites)
    second = current(job)
    for lost in ("harbor", "summit"):
        del sites[lost]
    pass_grace(second)
    for _ in range(2):
        step(sites)
    assert Attempt.objects.get(pk=second.pk).state == Attempt.State.DECRYPTING
    pass_deadline(second)
    ended = Attempt.objects.get(pk=second.pk)
    assert ended.state == Attempt.State.ABANDONED
    assert ended.reason == "fewer than 3 trustees (2 of 3 shares) by the deadline"
    assert ended.release is None
    # The retries want a cohort, which two sites do not make: nothing is charged for them.
    while (found := current(job)).open:
        step(sites)
        pass_deadline(found)
    job.refresh_from_db()
    assert job.state == Job.State.FAILED
    assert "round 2 failed 4 times, at last: 2 contributions (lakeside, northwind)" in job.reason
    for name in LEFT:
        sites[name].step()
        assert committed(sites[name]) == {(1, 1): 1, (2, 1): 1}
        assert "reserved" not in {c.state for c in sites[name].home.ledger.report(name).charges}
