"""A dealt key is published once, and serves when every trustee has confirmed its share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django_tenants.utils import schema_context

from apps.common.actor import Actor
from apps.keys.models import KeyEpoch, SealedShare
from apps.keys.services import key_epoch_publish
from apps.provenance.models import Event
from federated.errors import Conflict, InvalidInput
from federated.protocol.keys import open_share
from federated.wire import key as wire
from federated.wire.site import Work
from tests.training.world import EVERYBODY, World, dealt, encryption_key, identity_of, roster

SYSTEM = Actor.system("tests")


def publish(epoch: wire.KeyEpoch, shares: list[wire.SealedShare]) -> KeyEpoch:
    return key_epoch_publish(epoch=epoch, shares=shares, actor=SYSTEM)


def confirm(world: World, slug: str, **changes: Any) -> tuple[int, str]:
    digest = dealt()[0].digest()
    body = wire.KeyConfirmation(epoch=digest, organization=slug).model_copy(update=changes)
    answer = world[slug].post(f"keys/{digest}/confirmation", world[slug].sign(body))
    return answer.status_code, answer.json().get("code", "")


def test_the_roster_lists_every_site(world: World) -> None:
    told = wire.Roster.parse(world["summit"].get("roster").content)
    assert told == roster()


def test_there_is_no_key_before_the_ceremony(world: World) -> None:
    answer = world["summit"].get("keys/current")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_every_trustee_confirms_and_the_key_is_active(world: World) -> None:
    world.publish_key()
    for slug in EVERYBODY:
        told = world[slug].get("keys/current").json()
        assert (told["state"], told["confirmed"]) == ("pending", False)
        epoch = wire.KeyEpoch.parse(told["epoch"])
        sealed = wire.SealedShare.parse(told["sealed"])
        assert open_share(sealed, epoch, encryption_key(slug)).index == sealed.index
        assert world[slug].work() == [Work.KEY]
    told = world["summit"].get(f"keys/{epoch.digest()}").json()
    assert (told["state"], told["confirmed"]) == ("active", True)
    assert told["confirmations"] == list(EVERYBODY)
    assert world["summit"].inbox().tasks == ()
    tags = Event.objects.filter(subject_kind="key_epoch").order_by("created_at")
    assert list(tags.values_list("tag", flat=True)) == [
        "aggregation:key:registered",
        *["aggregation:key:confirmed"] * 3,
        "aggregation:key:activated",
    ]


def test_a_share_is_shown_to_its_own_organization_alone(world: World) -> None:
    world.publish_key()
    for slug in EVERYBODY:
        told = world[slug].get("keys/current").json()
        assert told["sealed"]["organization"] == slug
        with schema_context(f"t_{slug}"):
            assert [s.organization for s in SealedShare.objects.all()] == [slug]


def test_confirming_again_changes_nothing(world: World) -> None:
    world.publish_key()
    assert confirm(world, "summit") == (201, "")
    assert confirm(world, "summit") == (200, "")
    assert KeyEpoch.objects.get().confirmations.count() == 1


def test_nobody_confirms_for_another(world: World) -> None:
    world.publish_key()
    assert confirm(world, "summit", organization="lakeside") == (403, "forbidden")
    forged = identity_of("summit").sign(
        wire.KeyConfirmation(epoch=dealt()[0].digest(), organization="lakeside")
    )
    answer = world["lakeside"].post(f"keys/{dealt()[0].digest()}/confirmation", forged)
    assert (answer.status_code, answer.json()["code"]) == (422, "signature_invalid")
    assert confirm(world, "summit", epoch="0" * 64) == (422, "invalid_input")
    assert not KeyEpoch.objects.get().confirmations.exists()


def test_publishing_again_changes_nothing(world: World) -> None:
    epoch, sealed = dealt()
    assert publish(epoch, sealed) == publish(epoch, sealed)
    assert SealedShare.objects.count() == 4


def test_a_number_is_taken_once(world: World) -> None:
    epoch, sealed = dealt()
    publish(epoch, sealed)
    other = epoch.model_copy(update={"max_colluding": epoch.max_colluding, "threshold": 4})
    resealed = [s.model_copy(update={"epoch": other.digest()}) for s in sealed]
    with pytest.raises(Conflict, match="key epoch 1 is taken; the next is 2"):
        publish(other, resealed)


def test_shares_that_do_not_fit(world: World) -> None:
    epoch, sealed = dealt()
    foreign = [s.model_copy(update={"epoch": "0" * 64}) for s in sealed]
    swapped = [sealed[0].model_copy(update={"index": 2}), *sealed[1:]]
    for shares, said in (
        (sealed[:3], "one share each"),
        ([*sealed, sealed[0]], "one share each"),
        (swapped, "one share each"),
        (foreign, "is for another key"),
    ):
        with pytest.raises(InvalidInput, match=said):
            publish(epoch, shares)
    assert not KeyEpoch.objects.exists()


def test_a_trustee_that_is_not_the_site(world: World) -> None:
    epoch, sealed = dealt()
    stranger = epoch.trustees[0].model_copy(update={"public_key": identity_of("summit").public_key})
    forged = epoch.model_copy(update={"trustees": (stranger, *epoch.trustees[1:])})
    resealed = [s.model_copy(update={"epoch": forged.digest()}) for s in sealed]
    with pytest.raises(InvalidInput, match="another site key than its certificate's"):
        publish(forged, resealed)


def write(folder: Path) -> None:
    epoch, sealed = dealt()
    (folder / "shares").mkdir()
    (folder / "key.json").write_bytes(epoch.canonical())
    for share in sealed:
        (folder / "shares" / f"{share.organization}.json").write_bytes(share.canonical())


def test_the_command_reads_the_ceremonys_folder(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    call_command("key_publish", str(tmp_path))
    assert f"key epoch 1 {dealt()[0].digest()} is pending" in capsys.readouterr().out
    assert KeyEpoch.objects.get().shares.count() == 4


def test_the_command_says_what_is_wrong(world: World, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("key_publish", str(tmp_path))
    write(tmp_path)
    told = json.loads((tmp_path / "key.json").read_text())
    (tmp_path / "key.json").write_text(json.dumps({**told, "threshold": 2}))
    with pytest.raises(CommandError, match="2 \\* threshold - trustees"):
        call_command("key_publish", str(tmp_path))
    assert not KeyEpoch.objects.exists()
