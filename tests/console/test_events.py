"""Searching the logs, and one event's way to the root."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.accounts.models import User
from apps.audit.search import event_evidence
from apps.provenance.models import Anchor, Event
from apps.provenance.services import checkpoint_make, log_sequence
from federated.provenance.checkpoint import parse_checkpoint
from tests.console.test_job import text_of
from tests.training.test_job_whole import play
from tests.training.world import World


def search(client: Client, slug: str = "northwind", **fields: str) -> Any:
    return client.get(f"/o/{slug}/events/", {"log": "consortium", **fields}, secure=True)


def test_events_are_found_by_each_field(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    play(world, job)
    every = text_of(search(northwind_auditor))
    assert "Round 1 released" in every
    assert "Job proposed" in every
    for fields, seen in (
        ({"tag": "federation:round:released"}, True),
        ({"subject": str(job.pk)[:8], "text": "round:released"}, True),
        ({"actor": "nobody"}, False),
        ({"since": "2099-01-01"}, False),
        ({"until": "2001-01-01"}, False),
    ):
        text = text_of(search(northwind_auditor, **fields))
        assert ("Round 1 released" in text) == seen, fields
        assert "Job proposed" not in text
    for wrong in ({"since": "soon"}, {"text": "x" * 101}, {"cursor": "x"}, {"log": "theirs"}):
        assert search(northwind_auditor, **wrong).status_code == 422


def test_an_event_is_shown_with_its_path(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    play(world, job)
    while log_sequence():
        pass
    checkpoint_make()
    chosen = Event.objects.filter(subject_id=str(job.pk), tag="federation:round:released")
    event = chosen.earliest("created_at")
    found = event_evidence(organization="northwind", log="consortium", event_id=event.pk)
    assert found.proof is not None
    assert found.path[-1].parent == parse_checkpoint(found.proof.note).root
    page = northwind_auditor.get(f"/o/northwind/events/consortium/{event.pk}/", secure=True)
    assert f"root {found.path[-1].parent.hex()[:12]}" in text_of(page)
    assert found.proof.leaf_hash.hex()[:12] in text_of(page)


def test_others_events_are_not_there(world: World, harbor_admin: Client) -> None:
    job = world.start()
    event = Event.objects.filter(subject_id=str(job.pk)).earliest("created_at")
    assert str(job.pk) not in search(harbor_admin, slug="harbor").content.decode()
    assert "Job proposed" not in text_of(search(harbor_admin, slug="harbor"))
    for log in ("consortium", "own", "theirs"):
        url = f"/o/harbor/events/{log}/{event.pk}/"
        assert harbor_admin.get(url, secure=True).status_code == 404
    with schema_context("t_northwind"):
        own = Event.objects.first()
    if own is not None:
        url = f"/o/harbor/events/own/{own.pk}/"
        assert harbor_admin.get(url, secure=True).status_code == 404


def test_an_operator_reads_the_whole_of_the_consortiums_log(
    world: World, client: Client, northwind_admin: Client
) -> None:
    world.start()
    first = Event.objects.earliest("created_at")
    address = f"/operator/events/{first.pk}/"
    assert northwind_admin.get("/operator/events/", secure=True).status_code == 404
    assert northwind_admin.get(address, secure=True).status_code == 404
    User.objects.create(email="op@consortium.example", is_operator=True)
    client.force_login(User.objects.get(email="op@consortium.example"))
    for fields, seen in (
        ({"tag": "organizations:site:joined"}, True),
        ({"tag": "federation:"}, False),
        ({"actor": "nobody"}, False),
    ):
        text = text_of(client.get("/operator/events/", fields, secure=True))
        assert ("Site joined" in text) == seen, fields
    log_sequence()
    checkpoint_make()
    page = client.get(address, secure=True)
    assert "Path to the root" in text_of(page)
    assert first.tag in text_of(page)
    with schema_context("t_northwind"):
        own = Event.objects.earliest("created_at")
    assert client.get(f"/operator/events/{own.pk}/", secure=True).status_code == 404
    pages, query = 0, "limit=7"
    while query:
        told = client.get(f"/operator/events/?{query}", secure=True)
        query, pages = told.context.get("older"), pages + 1
    assert pages == -(-Event.objects.count() // 7)


@pytest.mark.parametrize(
    ("fields", "event_says", "operator_says"),
    [
        ({}, "Waits to be sent", "0 of 2"),
        ({"state": "sent", "tx_hash": "0x12"}, "Sent, in no block yet", "Sent"),
        (
            {"state": "sent", "tx_hash": "0x12", "block_number": 7, "confirmations": 1},
            "waits for the one after it. Confirmations 1 of 2",
            "1 of 2",
        ),
        (
            {"last_error": "no route to 10.0.0.7", "failing_since": timezone.now(), "attempts": 4},
            "Anchors do not reach the chain since",
            "no route to 10.0.0.7",
        ),
        (
            {"state": "confirmed", "block_number": 7, "confirmations": 2, "chain_id": 5},
            "Confirmations 2 of 2 Block 7 of chain 5",
            "2 of 2",
        ),
    ],
)
def test_how_far_the_anchor_is(
    northwind_auditor: Client, settings: Any, fields: Any, event_says: str, operator_says: str
) -> None:
    chain = settings.FSC_CONFIG.blockchain.model_copy(update={"enabled": True})
    settings.FSC_CONFIG = settings.FSC_CONFIG.model_copy(update={"blockchain": chain})
    with schema_context("t_northwind"):
        log_sequence()
        head = checkpoint_make()
        event = Event.objects.earliest("created_at")
    assert head is not None
    at = {"confirmed_at": timezone.now()} if "chain_id" in fields else {}
    Anchor.objects.create(
        origin="consortium", size=9, root=bytes(32), notes=[head.note], **fields, **at
    )
    page = northwind_auditor.get(f"/o/northwind/events/own/{event.pk}/", secure=True)
    assert event_says in text_of(page)
    assert "10.0.0.7" not in text_of(page)
    health = northwind_auditor.get("/o/northwind/api/health", secure=True).json()
    assert (health["status"] == "degraded") == ("failing_since" in fields)
    told = northwind_auditor.get("/o/northwind/api/log?limit=1", secure=True).json()["events"][0]
    assert told["anchor"]["confirmations"] == fields.get("confirmations", 0)
    User.objects.filter(email="auditor@northwind.example").update(is_operator=True)
    assert operator_says in text_of(northwind_auditor.get("/operator/", secure=True))
