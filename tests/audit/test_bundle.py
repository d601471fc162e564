"""A job's bundle verifies offline; an event edited afterwards is named."""

from __future__ import annotations

import json
import ssl
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django_tenants.utils import schema_context

from apps.organizations import ca
from apps.provenance.models import Event
from apps.training.models import Job
from federated.api.coordinator import CoordinatorAPI
from federated.errors import NotFound
from federated.provenance.bundle import load_bundle
from federated.provenance.verify import verify_bundle
from federated.verify.replay import replay_job
from federated.verify.rounds import round_checks
from federated.verify.trust import trust_checks
from federated.wire.round import Reason
from tests import second_verifier
from tests.conftest import SITE_KEYS, owner_role
from tests.federated.client.portal import URL, PortalTransport
from tests.training.test_job_whole import play
from tests.training.world import World


@pytest.fixture
def job(world: World) -> Job:
    """A finished job whose first attempt was abandoned after it closed."""
    job = world.start()
    found = world.to_charging(job)
    no = world["lakeside"].refusal(found, reason=Reason.BUDGET_EXCEEDED, detail="0.2 too much")
    answer = world["lakeside"].post(f"jobs/{job.pk}/rounds/1/1/refusal", no)
    assert answer.status_code == 201
    play(world, job)
    assert job.state == Job.State.FINISHED
    return job


def exported(world: World, job: Job, by: str = "summit") -> dict[str, Any]:
    answer = world[by].get(f"jobs/{job.pk}/bundle")
    assert answer.status_code == 200, answer.content
    bundle: dict[str, Any] = json.loads(answer.content)
    return bundle


def failed(bundle: dict[str, Any]) -> list[str]:
    report = verify_bundle(bundle, checks=[round_checks])
    return [f"{c.name}: {c.detail}" for c in report.checks if c.status == "failed"]


def test_a_bundle_verifies(world: World, job: Job) -> None:
    bundle = exported(world, job)
    assert failed(bundle) == []
    record = bundle["sections"]["jobs"][0]
    rounds = [(t["context"]["round"], t["context"]["attempt"]) for t in record["attempts"]]
    assert rounds == [(1, 1), (1, 2), (2, 1)]
    assert [t["release"] is not None for t in record["attempts"]] == [False, True, True]
    assert (len(record["verdicts"]), len(record["refusals"])) == (6, 1)
    names = [c.name for c in verify_bundle(bundle, checks=[round_checks]).checks]
    assert sum("release" in name for name in names) == 3


def test_the_authority_certified_every_pinned_key(world: World, job: Job) -> None:
    bundle = exported(world, job)
    told = [(c.name, c.status) for c in trust_checks([ca.certificate()])(load_bundle(bundle))]
    assert told == [("certificates", "ok"), (f"job {str(job.pk)[:8]} trust", "ok")]


def test_a_second_verifier_agrees(world: World, job: Job, tmp_path: Path) -> None:
    content = world["summit"].get(f"jobs/{job.pk}/bundle").content
    path = tmp_path / "bundle.json"
    path.write_bytes(content)
    assert verify_bundle(path, checks=[round_checks]).ok
    (state,) = second_verifier.verify(content)
    assert state.digest() == replay_job(load_bundle(path)).state.digest()
    assert state.step == 2


def test_a_site_downloads_its_bundle(world: World, job: Job, tmp_path: Path) -> None:
    transport = PortalTransport(SITE_KEYS["summit"].der)
    api = CoordinatorAPI(URL, ssl.create_default_context(), transport=transport)
    path = tmp_path / "bundle.json"
    path.write_bytes(api.bundle(str(job.pk)))
    assert verify_bundle(path, checks=[round_checks]).ok
    with pytest.raises(NotFound):
        api.bundle("../site")


def test_the_bundle_holds_every_event_of_the_job_and_no_others(world: World, job: Job) -> None:
    world.propose()
    bundle = exported(world, job)
    events = [json.loads(e["canonical"]) for log in bundle["logs"] for e in log["events"]]
    subjects = {(e["subject"]["kind"], e["subject"]["id"]) for e in events}
    assert subjects == {("job", str(job.pk)), ("key_epoch", job.wire.key_epoch)}
    count = Event.objects.filter(subject_kind="job", subject_id=str(job.pk)).count()
    assert sum(e["subject"]["kind"] == "job" for e in events) == count


def test_an_edited_event_is_named(world: World, job: Job) -> None:
    assert failed(exported(world, job)) == []
    target = Event.objects.filter(tag="federation:round:released").order_by("created_at").first()
    assert target is not None
    index = target.leaf.log_index
    edited = bytes(target.canonical).replace(b'"round":1', b'"round":7')
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE provenance_event DISABLE TRIGGER USER")
        cursor.execute(
            "UPDATE provenance_event SET canonical = %s WHERE id = %s", [edited, target.pk]
        )
        cursor.execute("ALTER TABLE provenance_event ENABLE TRIGGER USER")
    said = failed(exported(world, job))
    assert any(str(target.pk) in line and str(index) in line for line in said), said
    assert any("federation:round:released" in line for line in said), said


def test_an_export_is_an_event_of_its_own_log(world: World, job: Job) -> None:
    exported(world, job)
    with schema_context("t_summit"):
        assert Event.objects.filter(tag="audit:bundle:exported").count() == 1
    with schema_context("t_lakeside"):
        assert not Event.objects.filter(tag="audit:bundle:exported").exists()


def test_the_log_in_pages(world: World, job: Job) -> None:
    seen: list[str] = []
    after = ""
    while True:
        query = f"log?log=consortium&limit=7&cursor={after}"
        told = world["summit"].get(query).json()
        seen += [row["event"]["tag"] for row in told["events"]]
        after = told["next_cursor"]
        if after is None:
            break
    expected = Event.objects.filter(subject_kind="job", subject_id=str(job.pk))
    assert seen == list(expected.order_by("created_at", "id").values_list("tag", flat=True))
    assert world["harbor"].get("log?log=consortium").json()["events"] == []


def test_the_own_log_is_the_organizations(world: World, job: Job) -> None:
    exported(world, job)
    tags = [r["event"]["tag"] for r in world["summit"].get("log").json()["events"]]
    assert "audit:bundle:exported" in tags
    others = [r["event"]["tag"] for r in world["harbor"].get("log").json()["events"]]
    assert "audit:bundle:exported" not in others


@pytest.mark.parametrize(
    "query",
    [
        "log=other",
        "cursor=zzz",
        "limit=0",
        "limit=x",
        "since=soon",
        "until=2026-13-01",
        "since=9999-12-31T23:59-23:59",
        "until=0001-01-01T00:00%2B23:59",
        "actor=" + "x" * 101,
        "object=1",
    ],
)
def test_a_bad_query_is_said(world: World, query: str) -> None:
    answer = world["summit"].get(f"log?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["detail"].startswith(query.partition("=")[0])


def test_the_log_is_searched(world: World, job: Job) -> None:
    def tags(**given: str) -> set[str]:
        query = urlencode({"log": "consortium", "limit": 200, **given})
        told = world["summit"].get(f"log?{query}").json()
        return {row["event"]["tag"] for row in told["events"]}

    every = tags()
    assert {"federation:job:proposed", "federation:round:released"} < every
    assert tags(tag="federation:round:released") == {"federation:round:released"}
    assert tags(subject=str(job.pk)[:8]) == every
    assert tags(subject="ffffffff-") == set()
    assert "federation:contribution:accepted" in tags(actor="Lakeside") < every
    assert tags(text="RELEASED") == {"federation:round:released"}
    proposed = Event.objects.get(tag="federation:job:proposed").created_at
    assert tags(since=proposed.isoformat()) == every
    assert tags(until=proposed.isoformat()) == set()
    assert tags(until=proposed.astimezone(timezone(timedelta(hours=-9))).isoformat()) == set()
