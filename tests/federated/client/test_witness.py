"""Agents cosign both logs' checkpoints; enough of them make a checkpoint final."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from django.conf import settings
from django_tenants.utils import schema_context

from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.provenance import keys
from apps.provenance.models import Checkpoint, Cosignature, Event, FinalCheckpoint
from apps.provenance.services import checkpoint_make, event_record, log_sequence
from apps.provenance.tags import Tag
from apps.provenance.witnesses import final_size_noted, note_cosigned
from federated.provenance.checkpoint import parse_checkpoint
from federated.provenance.cosignature import CosignerKey, cosignatures
from federated.site.witness import Witness
from federated.site.work import cosign as work_cosign
from tests.federated.client.portal import SiteAtWork, home_make

CAST = ("northwind", "lakeside", "summit")
ACTOR = Actor.system("tests")


def grow(count: int = 3, *, slug: str | None = None) -> int:
    """Let a log grow and sign its head; the consortium's log without `slug`."""
    with schema_context(f"t_{slug}" if slug else "public"):
        for number in range(count):
            event_record(tag=Tag.ROUND_CLOSED, actor=ACTOR, subject=("round", number))
        while log_sequence():
            pass
        made = checkpoint_make()
        assert made is not None
        return made.size


@pytest.fixture
def sites(db: None, tmp_path: Path) -> dict[str, SiteAtWork]:
    return {slug: SiteAtWork(home_make(tmp_path, slug)) for slug in CAST}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.provenance import witnesses

    monkeypatch.setattr(witnesses, "COSIGN_PAUSE", -witnesses.COSIGN_PAUSE)


def test_sites_cosign_the_consortiums_log_until_it_is_final(sites: dict[str, SiteAtWork]) -> None:
    size = grow()
    for number, site in enumerate(sites.values(), start=1):
        site.step()
        assert site.said("witness key registered"), site.lines
        site.step()
        assert len(Cosignature.objects.filter(size=size)) == number
        assert FinalCheckpoint.objects.exists() == (number == 3)
    assert not [line for site in sites.values() for line in site.lines if "failed" in line]
    checkpoint = Checkpoint.objects.get(size=size)
    witnesses = [CosignerKey.parse(row.key) for row in checkpoint.cosignatures.all()]
    signed = cosignatures(note_cosigned(checkpoint), witnesses)
    assert {one.name for one in signed} == {
        f"{settings.FSC_CONSORTIUM}/{slug}/witness" for slug in CAST
    }
    # Three of the four organizations' sites made it final; two did not.
    final = FinalCheckpoint.objects.get()
    assert (final.size, final.needed, final.seats) == (size, 3, 4)


def test_an_organizations_log_is_witnessed_by_its_own_site_alone(
    sites: dict[str, SiteAtWork],
) -> None:
    grow(slug="northwind")
    for site in sites.values():
        site.step()
    with schema_context("t_northwind"):
        assert [row.organization for row in Cosignature.objects.all()] == ["northwind"]
        assert final_size_noted() == Checkpoint.objects.latest("size").size
    with schema_context("t_lakeside"):
        assert not Cosignature.objects.exists()


def test_a_witness_that_is_away_delays_nothing_but_finality(
    sites: dict[str, SiteAtWork],
) -> None:
    first = grow()
    for site in sites.values():
        site.step()
    second = grow()
    sites["northwind"].step()
    with as_coordinator():
        assert final_size_noted() == first
    third = grow()
    for site in sites.values():
        site.step()
    with as_coordinator():
        # lakeside never saw the second checkpoint: what it cosigned extends it all the same.
        assert final_size_noted() == third
        assert not Cosignature.objects.filter(size=second, organization="lakeside").exists()


def test_cosigning_writes_no_event_and_asks_for_nothing_more(sites: dict[str, SiteAtWork]) -> None:
    site = sites["northwind"]
    grow()
    site.step()
    grow()
    before = Event.objects.count()
    site.step()
    assert Event.objects.count() == before
    sent = len(site.sent("cosign"))
    site.step()
    assert len(site.sent("cosign")) == sent


def test_a_lost_cosignature_is_sent_again_as_it_was(sites: dict[str, SiteAtWork]) -> None:
    site = sites["northwind"]
    grow()

    def lost(request: object) -> None:
        raise __import__("httpx").ConnectError("gone")

    site.step()
    size = grow()

    def before(request: object) -> None:
        if request.method == "POST":  # type: ignore[attr-defined]
            lost(request)

    site.transport.before = before
    site.step()
    held = (site.home.path / "witness" / "heads" / "consortium" / str(size)).read_text()
    site.restart()
    site.step()
    (sent,) = site.sent("cosign")
    assert json.loads(sent)["body"]["note"] == held
    assert Cosignature.objects.filter(size=size, organization="northwind").exists()


def test_the_head_is_on_the_disk_before_the_cosignature_leaves(
    sites: dict[str, SiteAtWork],
) -> None:
    site = sites["northwind"]
    size = grow()
    seen = []

    def before(request: object) -> None:
        if request.method == "POST" and request.url.path.endswith("cosign"):  # type: ignore[attr-defined]
            seen.append(Witness(site.home).head_size("consortium"))

    site.transport.before = before
    site.step()
    assert seen == [size]


@pytest.mark.parametrize("offset", [-3600, 3600])
def test_a_witness_with_a_wrong_clock_is_told(
    sites: dict[str, SiteAtWork], monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    monkeypatch.setattr(work_cosign, "_now", lambda: int(time.time()) + offset)
    grow()
    sites["northwind"].step()
    assert sites["northwind"].said("cosign consortium failed (clock_differs)")
    assert not Cosignature.objects.exists()


def test_what_is_not_of_the_log_or_not_of_the_witness_is_refused(
    sites: dict[str, SiteAtWork],
) -> None:
    size = grow()
    site, other = sites["northwind"], sites["lakeside"]
    site.step()
    other.step()
    grow()
    mine = Cosignature.objects.get(size=size, organization="northwind")
    note = mine.checkpoint.note

    def post(text: str, *, by: SiteAtWork = other) -> str:
        from federated.wire.witness import Cosigned

        signed = by.agent.site.identity.sign(Cosigned(note=text))
        answer = by.transport.client.post(
            "/api/logs/consortium/cosign", signed.canonical(), content_type="application/json"
        )
        return f"{answer.status_code} {answer.json().get('code', '')}"

    assert post(note + mine.line) == "422 invalid_input"  # northwind's, sent by lakeside
    forged = note.replace(f"\n{size}\n", f"\n{size + 1}\n", 1)
    assert post(forged) == "404 not_found"
    assert post("no note") == "422 invalid_input"
    assert parse_checkpoint(note).origin == keys.verifier_key(settings.FSC_CONSORTIUM).name
