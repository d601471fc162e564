"""Agents hold several keys side by side, and destroy a share only when they need it no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.attempts import tasks
from apps.attempts.models import Participant
from apps.keys.models import KeyEpoch
from apps.training.models import Job
from federated.errors import NotFound
from federated.site.epochs import EpochFolder, destroy
from federated.site.work.retire import retire_by_person
from federated.wire.base import Signed
from federated.wire.key import KeyRetired
from federated.wire.site import Work
from tests.federated.client.portal import SiteAtWork, home_make
from tests.training.world import CAST, EVERYBODY, World, dealt, workers


@pytest.fixture
def world(db: None) -> World:
    made = World()
    made.publish_key()
    return made


@pytest.fixture
def sites(world: World, tmp_path: Path) -> dict[str, SiteAtWork]:
    made = {slug: SiteAtWork(home_make(tmp_path, slug)) for slug in EVERYBODY}
    step(made)
    return made


def step(sites: dict[str, SiteAtWork], times: int = 1) -> None:
    for _ in range(times):
        for site in sites.values():
            site.step()
        workers()


def digest(number: int = 1) -> str:
    return dealt(number)[0].digest()


def shares(site: SiteAtWork) -> list[bool]:
    return [site.home.share(digest(number)) is not None for number in (1, 2)]


def state(number: int) -> str:
    return KeyEpoch.objects.get(number=number).state


def rotate(world: World, sites: dict[str, SiteAtWork]) -> None:
    world.publish_key(2)
    step(sites)
    assert (state(1), state(2)) == ("superseded", "active")


def test_a_job_finishes_under_its_key_while_the_next_one_serves(
    world: World, sites: dict[str, SiteAtWork]
) -> None:
    first = world.propose()
    step(sites)
    rotate(world, sites)
    second = world.propose(key_epoch=digest(2))
    step(sites, 12)
    for job in (first, second):
        job.refresh_from_db()
        assert (job.state, job.reason) == (Job.State.FINISHED, "")
    assert all(shares(site) == [True, True] for site in sites.values())
    tasks.keys_retire()
    step(sites)
    assert (state(1), state(2)) == ("destroyed", "active")
    for site in sites.values():
        assert shares(site) == [False, True]
        assert site.said("share destroyed")
        assert site.home.epoch(digest()) == dealt()[0], "what verifies old rounds stays"
        assert not [line for line in site.lines if "failed" in line]


@pytest.mark.parametrize("early", [False, True])
def test_a_policy_of_ask_uses_no_key_before_a_person_compared_it(
    world: World, sites: dict[str, SiteAtWork], early: bool
) -> None:
    site = sites["summit"]
    text = site.home.policy_path.read_text()
    site.home.policy_path.write_text(text.replace("key_epochs: any", "key_epochs: ask"))
    if early:
        site.home.epoch_folder(digest(2)).accept("ada, at the ceremony")
    world.publish_key(2)
    step(sites)
    if not early:
        assert site.said("key epoch 2 waits: compare")
        assert (shares(site), state(2)) == ([True, False], "pending")
        assert world["summit"].get("keys/current").json()["digest"] == digest()
        job = world.propose(key_epoch=digest(2))
        step(sites)
        assert Participant.objects.get(agreement=job, organization="summit").state == "pending"
        site.home.epoch_folder(digest(2)).accept("ada")
        step(sites)
        assert Participant.objects.get(agreement=job, organization="summit").state == "approved"
    assert (shares(site), state(2)) == ([True, True], "active")


def test_another_key_than_the_pinned_one_is_not_taken(
    world: World, sites: dict[str, SiteAtWork]
) -> None:
    """The coordinator publishes a key that it dealt itself."""
    site = sites["summit"]
    text = site.home.policy_path.read_text()
    site.home.policy_path.write_text(text.replace("key_epochs: any", f"key_epochs: ['{digest()}']"))
    world.publish_key(2)
    step(sites)
    assert site.said("policy key_epochs: fingerprint")
    assert (shares(site), state(2)) == ([True, False], "pending")


def test_a_share_is_kept_while_this_site_sees_a_job_under_it(
    world: World, sites: dict[str, SiteAtWork]
) -> None:
    """The coordinator asks too early: that would deny the job its decryption."""
    job = world.propose()
    step(sites)
    rotate(world, sites)
    KeyEpoch.objects.filter(number=1).update(state=KeyEpoch.State.RETIRED)
    for slug in CAST:
        sites[slug].step()
        assert sites[slug].said(f"its share is kept: job {str(job.pk)[:8]} under it is not over")
        assert shares(sites[slug]) == [True, True]
        assert sites[slug].sent("retirement") == []


def test_the_only_key_is_kept_until_a_newer_one_is_accepted(
    world: World, sites: dict[str, SiteAtWork]
) -> None:
    KeyEpoch.objects.update(state=KeyEpoch.State.RETIRED)
    step(sites)
    for site in sites.values():
        assert site.said("its share is kept: no newer key epoch is accepted here")
        assert site.home.share(digest()) is not None


def test_a_policy_of_ask_leaves_it_to_a_person(world: World, sites: dict[str, SiteAtWork]) -> None:
    site = sites["summit"]
    site.home.policy_path.write_text(site.home.policy_path.read_text() + "retire_keys: ask\n")
    rotate(world, sites)
    tasks.keys_retire()
    step(sites)
    assert site.said("its share is kept: policy retire_keys: ask")
    assert (shares(site), state(1)) == ([True, True], "retired")
    retire_by_person(site.home, digest(), by="ada")
    step(sites)
    assert (shares(site), state(1)) == ([False, True], "destroyed")


def test_a_person_overrules_and_the_site_leaves_what_is_under_the_key(
    world: World, sites: dict[str, SiteAtWork]
) -> None:
    site = sites["summit"]
    retire_by_person(site.home, digest(), by="ada")
    assert site.home.share(digest()) is None
    job = world.propose()
    step(sites)
    job.refresh_from_db()
    assert job.state == Job.State.DECLINED
    assert (
        "was retired here" in Participant.objects.get(agreement=job, organization="summit").reason
    )
    with pytest.raises(NotFound, match="is not known to this site"):
        retire_by_person(site.home, "0" * 64, by="ada")


def test_a_retired_share_is_never_taken_again(world: World, sites: dict[str, SiteAtWork]) -> None:
    """A coordinator that kept the sealed share offers it once more."""
    site = sites["summit"]
    retire_by_person(site.home, digest(), by="ada")
    KeyEpoch.objects.get(number=1).confirmations.filter(organization="summit").delete()
    assert Work.KEY in [task.kind for task in world["summit"].inbox().tasks]
    site.step()
    assert site.said("was retired here")
    assert site.home.share(digest()) is None


def test_the_same_word_is_sent_again(world: World, sites: dict[str, SiteAtWork]) -> None:
    rotate(world, sites)
    tasks.keys_retire()
    site = sites["summit"]
    site.step()
    KeyEpoch.objects.get(number=1).retirements.all().delete()
    site.restart()
    site.step()
    (again,) = site.sent("retirement")
    assert again == site.home.epoch_folder(digest()).word().canonical()
    assert KeyEpoch.objects.get(number=1).retirements.get().organization == "summit"


class Died(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("dies_in", ["destroy", "word_keep"])
def test_a_crash_on_the_way_leaves_nothing_to_take_or_to_use(
    world: World,
    sites: dict[str, SiteAtWork],
    monkeypatch: pytest.MonkeyPatch,
    dies_in: str,
) -> None:
    rotate(world, sites)
    tasks.keys_retire()
    site = sites["summit"]

    def die(*args: object) -> None:
        raise Died

    where = "federated.site.epochs"
    name = f"{where}.destroy" if dies_in == "destroy" else f"{where}.EpochFolder.word_keep"
    with monkeypatch.context() as patched:
        patched.setattr(name, die)
        with pytest.raises(Died):
            site.step()
    assert site.sent("retirement") == []
    site.restart()
    site.step()
    (word,) = site.sent("retirement")
    assert Signed[KeyRetired].parse(word).body.organization == "summit"
    assert shares(site) == [False, True]


def test_destroying_overwrites_before_it_unlinks(tmp_path: Path) -> None:
    path, link = tmp_path / "share.json", tmp_path / "link"
    path.write_bytes(b"secret" * 100)
    link.hardlink_to(path)
    destroy(path)
    destroy(path)
    assert not path.exists()
    assert len(link.read_bytes()) == 600
    assert b"secret" not in link.read_bytes()


def test_what_a_crash_left_aside_is_destroyed_too(tmp_path: Path) -> None:
    folder = EpochFolder(tmp_path / ("0" * 64))
    folder.path.mkdir()
    (folder.path / ".share.json.0a1b2c3d4e5f").write_bytes(b"a share half written")
    folder.retire("ada")
    assert [path.name for path in folder.path.iterdir()] == ["retired.json"]
