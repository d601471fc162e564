"""A site lets its own contributions go, and never makes a second one in their place."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from apps.attempts.models import Attempt as AttemptRow
from apps.keys.bell import bell_ring
from apps.training.models import Job
from federated.protocol.address import Attempt
from federated.protocol.refused import Refused
from federated.site import retention
from federated.site.retention import contributions_expire, expired_here
from federated.site.work.round import RoundPart
from federated.wire.round import Contribution as WireContribution
from federated.wire.round import Reason
from tests.federated.client.portal import SiteAtWork, home_make
from tests.rows import sent
from tests.training.world import CAST, World, workers

DAYS = 30


@pytest.fixture
def sites(db: None, tmp_path: Path) -> dict[str, SiteAtWork]:
    return {slug: SiteAtWork(home_make(tmp_path, slug)) for slug in CAST}


@pytest.fixture
def job(sites: dict[str, SiteAtWork]) -> Job:
    world = World()
    world.publish_key()
    world["harbor"].work()
    made = world.propose(rounds=1)
    return made


def play(sites: dict[str, SiteAtWork], job: Job, times: int) -> None:
    for _ in range(times):
        for site in sites.values():
            site.step()
        workers()
    job.refresh_from_db()


def kept(site: SiteAtWork, job: Job) -> WireContribution | None:
    signed = site.home.job(str(job.pk)).signed(WireContribution, "attempts/1-1/contribution")
    return None if signed is None else signed.body


def later(days: float) -> float:
    return time.time() + days * 86_400


def test_a_site_keeps_what_is_young_or_under_way(sites: dict[str, SiteAtWork], job: Job) -> None:
    site = sites["summit"]
    play(sites, job, 2)
    assert kept(site, job) is not None
    assert contributions_expire(site.home, now=later(DAYS + 1)) == 0, "the job is not over here"
    play(sites, job, 5)
    assert job.state == Job.State.FINISHED
    assert contributions_expire(site.home, now=later(DAYS - 1)) == 0
    assert kept(site, job) is not None


def test_it_goes_after_its_time_and_its_digest_stays(
    sites: dict[str, SiteAtWork], job: Job
) -> None:
    site = sites["summit"]
    play(sites, job, 6)
    digest = sent("contribution").get(organization="summit").digest
    assert contributions_expire(site.home, now=later(DAYS + 1)) == 1
    assert contributions_expire(site.home, now=later(DAYS + 1)) == 0
    assert kept(site, job) is None
    folder = site.home.job(str(job.pk))
    note = folder.path / "attempts/1-1" / retention.NOTE
    assert digest.encode() in note.read_bytes()
    assert folder.state(1) is not None, "the model stays"


def test_no_second_contribution_is_made_for_an_attempt_that_expired(
    sites: dict[str, SiteAtWork], job: Job
) -> None:
    """A coordinator opens the old attempt again: fresh noise would give the gradient away."""
    site = sites["summit"]
    play(sites, job, 6)
    contributions_expire(site.home, now=later(DAYS + 1))
    at = Attempt(str(job.pk), 1, 1)
    assert expired_here(site.home.job(at.job_id), at)
    with pytest.raises(Refused, match="its contribution is not kept any more") as refused:
        RoundPart(site.agent.site, at).contribute()
    assert refused.value.reason is Reason.ATTEMPT_SUPERSEDED
    Job.objects.filter(pk=job.pk).update(state=Job.State.RUNNING, ended_at=None)
    AttemptRow.objects.filter(agreement=job).update(state=AttemptRow.State.COLLECTING)
    sent("contribution").filter(organization="summit").delete()
    bell_ring(list(CAST))
    before = len(site.sent("contribution"))
    site.step()
    assert len(site.sent("contribution")) == before


class Died(BaseException):
    """The process ends here."""


def test_a_crash_between_the_note_and_the_end_makes_nothing_new(
    sites: dict[str, SiteAtWork], job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = sites["summit"]
    play(sites, job, 6)

    def die(*args: object, **options: object) -> None:
        raise Died

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", die)
        with pytest.raises(Died):
            contributions_expire(site.home, now=later(DAYS + 1))
    assert kept(site, job) is not None
    with pytest.raises(Refused):
        RoundPart(site.agent.site, Attempt(str(job.pk), 1, 1)).contribute()
    assert contributions_expire(site.home, now=later(DAYS + 1)) == 1
    assert kept(site, job) is None


def test_the_agent_does_it_by_its_policy(sites: dict[str, SiteAtWork], job: Job) -> None:
    site = sites["summit"]
    play(sites, job, 6)
    path = site.home.path / "jobs" / str(job.pk) / "attempts/1-1/contribution.json"
    old = time.time() - 8 * 86_400
    os.utime(path, (old, old))
    site.now += 10_000
    site.step()
    assert path.exists(), "thirty days are the default"
    text = site.home.policy_path.read_text()
    site.home.policy_path.write_text(text + "keep_contributions_days: 7\n")
    site.now += 10_000
    site.step()
    assert not path.exists()
    assert site.said("1 contributions of jobs that are over deleted")
