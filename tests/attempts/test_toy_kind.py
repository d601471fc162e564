"""A kind of joint computation of its own, played in the portal by its own things alone.

``toy.py`` is all that its app writes; ``registered`` has its lines in the two registries, and
toy_urls.py the one in the API's addresses. No file of apps/, portal/ or federated/ knows it.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.attempts import played, tasks
from apps.attempts.models import (
    Agreement,
    Attempt,
    AttemptMessage,
    ContributionReceipt,
    Participant,
)
from apps.attempts.selectors.charges import charges_known
from apps.attempts.services.answers import endorse
from apps.attempts.services.keys import key_retire
from apps.audit.selectors import events_visible
from apps.budgets.models import Account, Charge
from apps.common.actor import Actor
from apps.provenance.models import Event
from federated.errors import BudgetExceeded, Conflict
from federated.protocol import kinds
from federated.wire.round import Reason, Refusal
from federated.wire.site import Work
from tests.attempts.toy import (
    FAILED,
    FINISHED,
    HANDS,
    OPENED,
    RETENTION_DAYS,
    SHOWS,
    ShowTag,
    Theatre,
    workers,
)
from tests.conftest import CAST, OUTSIDER
from tests.federated.protocol.toy import SHOW, ShowDecline, ShowTranscript
from tests.training.world import World

pytestmark = pytest.mark.urls("tests.attempts.toy_urls")
ROOT = Path(__file__).parents[2]
NONE: dict[str, list[Work]] = {slug: [] for slug in (*CAST, OUTSIDER)}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, SHOW))
    monkeypatch.setattr(played, "_played", dict(played._played))
    played.play(SHOW, SHOWS)


@pytest.fixture
def theatre(db: None) -> Theatre:
    return Theatre()


def asked(work: Work | None, slugs: tuple[str, ...] = CAST) -> dict[str, list[Work]]:
    """What inboxes are to ask: one task of these sites, nothing of the others."""
    return NONE | {slug: [work] for slug in slugs if work is not None}


def attempt_of(show: Agreement) -> Attempt:
    return Attempt.objects.get(agreement=show)


def opened(theatre: Theatre) -> Agreement:
    show = theatre.propose()
    theatre.all_work(Work.APPROVE)
    return show


def released(theatre: Theatre) -> Agreement:
    show = opened(theatre)
    for work in (Work.SUBMIT, Work.CHARGE, Work.DECRYPT):
        theatre.all_work(work)
    return show


def refusal(theatre: Theatre, slug: str, found: Attempt) -> Any:
    body = Refusal(
        context=found.context_digest,
        cohort=found.cohort_digest,
        organization=slug,
        reason=Reason.BUDGET_EXCEEDED,
        detail="nothing is left",
    )
    path = f"shows/{found.agreement_id}/attempts/{found.number}/{found.attempt}/refusal"
    return theatre[slug].post(path, theatre[slug].sign(body))


def test_it_is_played_to_a_release_that_every_site_verifies(theatre: Theatre) -> None:
    show = theatre.propose()
    assert theatre.asked() == asked(Work.APPROVE)
    theatre.all_work(Work.APPROVE, slugs=CAST[:2])
    assert theatre.asked() == asked(Work.APPROVE, CAST[2:])
    assert not Attempt.objects.exists()
    theatre.all_work(Work.APPROVE, slugs=CAST[2:])
    show.refresh_from_db()
    assert show.state == OPENED

    for work, after in (
        (Work.SUBMIT, "charging"),
        (Work.CHARGE, "decrypting"),
        (Work.DECRYPT, "released"),
    ):
        assert theatre.asked() == asked(work)
        theatre.all_work(work)
        assert attempt_of(show).state == after

    show.refresh_from_db()
    assert show.state == FINISHED
    answer = theatre["lakeside"].get(f"shows/{show.pk}/attempts/1/1/release")
    assert answer.json()["hands"] == sum(HANDS.values())
    assert theatre.asked() == asked(Work.VERIFY)
    theatre.all_work(Work.VERIFY)
    assert theatre.asked() == NONE
    with schema_context("t_lakeside"):
        assert ContributionReceipt.objects.filter(agreement_id=show.pk).count() == 1
    (charge,) = charges_known("lakeside")
    assert (charge.job_id, charge.cohort) == (str(show.pk), attempt_of(show).cohort_digest)
    assert attempt_of(show).messages.filter(name="verdict", agrees=True).count() == len(CAST)
    told = Event.objects.filter(subject_kind="show", subject_id=str(show.pk))
    assert set(told.values_list("tag", flat=True)) == set(ShowTag) - {
        ShowTag.ENDORSED,
        ShowTag.DECLINED,
        ShowTag.FAILED,
        ShowTag.REFUSED,
        ShowTag.ABANDONED,
        ShowTag.EXPIRED,
    }


def test_a_message_is_stored_once_and_in_its_state_alone(theatre: Theatre) -> None:
    show, site = opened(theatre), theatre["summit"]
    (task,) = [task for task in site.inbox().tasks if task.kind is Work.SUBMIT]
    assert site.do_submit(task).status_code == 201
    assert site.do_submit(task).json()["code"] == "already_sent"
    (kept,) = AttemptMessage.objects.all()
    path = f"{site.path(task)}/hand"
    assert site.post(path, bytes(kept.content)).status_code == 200
    stolen = theatre["northwind"].post(path, bytes(kept.content))
    assert (stolen.status_code, stolen.json()["code"]) == (403, "forbidden")
    theatre.all_work(Work.SUBMIT, slugs=CAST[:2])
    assert attempt_of(show).state == "charging"
    assert AttemptMessage.objects.count() == len(CAST)


def test_a_refusal_to_charge_ends_it(theatre: Theatre) -> None:
    done, show = released(theatre), opened(theatre)
    theatre.all_work(Work.SUBMIT)
    theatre["summit"].work(Work.CHARGE)
    assert refusal(theatre, "lakeside", attempt_of(show)).status_code == 201
    workers()
    found = attempt_of(show)
    assert (found.state, found.charged_at) == ("abandoned", None)
    assert "lakeside refuses, budget_exceeded: nothing is left" in found.reason
    show.refresh_from_db()
    assert (show.state, show.reason) == (FAILED, f"show 1 failed 1 times, at last: {found.reason}")
    done.refresh_from_db()
    assert done.state == FINISHED


def test_a_decline_ends_it(theatre: Theatre) -> None:
    show, site = theatre.propose(), theatre["northwind"]
    said = ShowDecline(
        show_id=str(show.pk), spec=show.spec_digest, organization="northwind", reason="not today"
    )
    assert site.post(f"shows/{show.pk}/decline", site.sign(said)).status_code == 201
    show.refresh_from_db()
    assert (show.state, show.reason) == ("declined", "declined by northwind: not today")
    assert theatre.asked() == NONE


def test_a_person_lets_the_site_approve(theatre: Theatre) -> None:
    show = theatre.propose()
    actor = Actor.system("tests")
    assert endorse(show, organization="summit", actor=actor) is True
    assert endorse(show, organization="summit", actor=actor) is False
    assert show.participants.get(organization="summit").endorsed_by == actor.snapshot()
    assert Event.objects.filter(tag=ShowTag.ENDORSED, subject_id=str(show.pk)).count() == 1


def test_a_proposers_queries_of_all_kinds_count(theatre: Theatre) -> None:
    job = World().propose()
    account = {"dataset": "hands", "unit": "organization"}
    with schema_context("t_summit"):
        granted = Account.objects.create(
            allotted_epsilon=20.0,
            allotted_delta=1e-4,
            period="lifetime",
            max_queries=1,
            reserved_rho=0.0,
            committed_rho=0.0,
            spent_epsilon=0.0,
            **account,
        )
        Charge.objects.create(
            job_id=job.pk, round=1, attempt=1, rho=0.1, state="reserved", at="2026", **account
        )
    actor = Actor.system("tests")
    show = theatre.propose(caller="northwind")
    with pytest.raises(BudgetExceeded, match="northwind has made 1 jobs this lifetime"):
        endorse(show, organization="summit", actor=actor)
    assert endorse(theatre.propose(caller="lakeside"), organization="summit", actor=actor)
    with schema_context("t_summit"):
        Account.objects.filter(pk=granted.pk).update(max_queries=2)
    assert endorse(show, organization="summit", actor=actor)


def test_it_ends_with_its_key(theatre: Theatre) -> None:
    show = opened(theatre)
    end = {"number": 1, "reason": "a share was lost", "actor": Actor.system("tests")}
    with pytest.raises(Conflict, match=f"in use by show {show.pk}"):
        key_retire(end_jobs=False, **end)
    key_retire(end_jobs=True, **end)
    show.refresh_from_db()
    assert (show.state, attempt_of(show).state) == (FAILED, "abandoned")
    assert show.reason == "key epoch 1 was retired: a share was lost"


def test_a_verdict_against_the_release_is_kept(theatre: Theatre) -> None:
    show, site = released(theatre), theatre["summit"]
    (task,) = [task for task in site.inbox().tasks if task.kind is Work.VERIFY]
    answer = site.do_verify(task, agrees=False, detail="other hands")
    assert answer.status_code == 201
    assert attempt_of(show).messages.get(name="verdict").agrees is False


def test_too_few_by_the_deadline_are_no_release(theatre: Theatre) -> None:
    show = opened(theatre)
    theatre.all_work(Work.SUBMIT, slugs=CAST[:2])
    found = attempt_of(show)
    assert found.state == "collecting"
    Attempt.objects.filter(pk=found.pk).update(deadline=found.opened_at)
    workers()
    show.refresh_from_db()
    assert show.state == FAILED
    assert "2 hands (lakeside, northwind), the attempt's minimum is 3" in show.reason


def test_retention_deletes_the_hands_and_keeps_their_digests(theatre: Theatre) -> None:
    show = released(theatre)
    before = dict(AttemptMessage.objects.filter(name="hand").values_list("organization", "digest"))
    tasks.expire()
    assert not AttemptMessage.objects.filter(content=b"").exists()
    ended = timezone.now() - timedelta(days=RETENTION_DAYS, seconds=1)
    Agreement.objects.filter(pk=show.pk).update(ended_at=ended)
    tasks.expire()
    hands = AttemptMessage.objects.filter(name="hand")
    assert {bytes(row.content) for row in hands} == {b""}
    assert AttemptMessage.objects.filter(content=b"").count() == len(CAST)
    answer = theatre["summit"].get(f"shows/{show.pk}/attempts/1/1/transcript")
    transcript = ShowTranscript.parse(answer.content)
    assert transcript.given == ()
    assert {left.organization: left.envelope for left in transcript.left} == before
    assert transcript.cohort().digest() == attempt_of(show).cohort_digest
    told = Event.objects.get(tag=ShowTag.EXPIRED)
    assert f'"hands":{len(CAST)}' in bytes(told.canonical).decode()
    # Without contributions there is nothing to recompute: no site is asked for its verdict.
    assert theatre.asked() == NONE


def addresses(show: Agreement) -> tuple[list[str], list[str]]:
    attempt = f"shows/{show.pk}/attempts/1/1"
    read = [attempt, f"{attempt}/transcript", f"{attempt}/release"]
    answers = [f"shows/{show.pk}/{name}" for name in SHOWS.answers]
    return read, [*answers, *(f"{attempt}/{name}" for name in SHOWS.messages)]


def test_a_foreign_organization_gets_404_and_sees_no_row(theatre: Theatre) -> None:
    show = released(theatre)
    assert refusal(theatre, "summit", attempt_of(show)).status_code == 201
    read, write = addresses(show)
    for path in read:
        assert theatre["summit"].get(path).status_code == 200, path
        answer = theatre[OUTSIDER].get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    for path in write:
        assert theatre["summit"].post(path, b"{}").status_code == 422, path
        assert theatre[OUTSIDER].post(path, b"{}").status_code == 404, path
    assert refusal(theatre, OUTSIDER, attempt_of(show)).status_code == 404
    for model in (Agreement, Participant, Attempt, AttemptMessage):
        with schema_context("t_northwind"):
            assert model.objects.exists(), model
        with schema_context(f"t_{OUTSIDER}"):
            assert not model.objects.exists(), model


def test_its_events_are_visible_to_its_participants_alone(theatre: Theatre) -> None:
    show = theatre.propose()
    for slug, sees in (("summit", True), (OUTSIDER, False)):
        visible = Event.objects.filter(events_visible(organization=slug, log="consortium"))
        assert visible.filter(subject_id=str(show.pk)).exists() is sees, slug


def test_its_addresses_find_no_agreement_of_another_kind(theatre: Theatre) -> None:
    training = World()
    job = training.start()
    summit = training["summit"]
    assert summit.get(f"jobs/{job.pk}/rounds/1/1").status_code == 200
    assert summit.get(f"shows/{job.pk}/attempts/1/1").status_code == 404
    assert summit.post(f"shows/{job.pk}/approval", b"{}").status_code == 404
    show = opened(theatre)
    assert summit.get(f"shows/{show.pk}/attempts/1/1").status_code == 200
    assert summit.get(f"jobs/{show.pk}/rounds/1/1").status_code == 404


def test_the_code_does_not_know_it() -> None:
    words = ("toy-", "ShowOfHands", "tests.attempts")
    for folder in ("apps", "portal", "federated"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            assert not [word for word in words if word in text], path


def test_the_api_describes_its_addresses(db: None, client: Any) -> None:
    answer = client.get("/api/schema", {"format": "json"}, headers={"Accept": "application/json"})
    described = answer.json()
    address = "/api/shows/{show_id}/attempts/{number}/{attempt}"
    assert {f"{address}/{name}" for name in SHOWS.messages} < described["paths"].keys()
    assert "ShowRelease" in described["components"]["schemas"]
