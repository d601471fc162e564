"""Auditors' reports: each row with its leaf, charges with balances, periods with their end."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.audit.reports import lines
from apps.audit.reports.assemble import job_report, period_report
from apps.audit.reports.values import Report
from apps.budgets.models import Account, AllotmentChange, Charge, LedgerReport
from apps.console.report.views import _last_month
from apps.provenance.models import Event
from apps.training.models import Job
from federated.privacy.accountant import rho_to_epsilon
from federated.protocol.cost import round_cost
from federated.site.ledger_report import stamp
from federated.wire.round import Reason
from tests.conftest import owner_role
from tests.console.test_job import job_url, text_of
from tests.training.test_job_whole import play
from tests.training.world import World

DELTA = 1e-5
UNKNOWN_JOB = "00000000-0000-4000-8000-000000000000"
ALWAYS = {"from": "2026-01-01", "to": "2099-01-01"}


def mirror(job: Job) -> float:
    """Let northwind's mirror hold the job's charges and an older one; rho of each.

    4 were granted when they were made, 8 are granted now.
    """
    rho, now = round_cost(job.wire).rho, timezone.now()
    with schema_context("t_northwind"):
        LedgerReport.objects.create(sequence=1, digest="5e" * 32, message={})
        Account.objects.create(
            dataset="ward", unit="record", allotted_epsilon=8.0, allotted_delta=DELTA,
            period="lifetime", max_queries=100, reserved_rho=0.0, committed_rho=3 * rho,
            spent_epsilon=1.0,
        )  # fmt: skip
        for days, epsilon in ((-9, 4.0), (1, 8.0)):
            AllotmentChange.objects.create(
                dataset="ward", unit="record", at=stamp(now + timedelta(days=days)),
                message={"after": {"epsilon": epsilon, "delta": DELTA, "period": "lifetime"}},
            )  # fmt: skip
        for job_id, number, at in ((UNKNOWN_JOB, 1, -2), (job.pk, 1, 0), (job.pk, 2, 1)):
            Charge.objects.create(
                job_id=job_id, round=number, attempt=1, dataset="ward", unit="record", rho=rho,
                state="committed", cohort="c0" * 32, at=stamp(now + timedelta(seconds=at)),
            )  # fmt: skip
    return rho


def period(client: Client, slug: str = "northwind", **given: str) -> Any:
    return client.get(f"/o/{slug}/report/", given, secure=True)


def leaves(report: Report) -> dict[str, set[int | None]]:
    """``{tag: leaves}`` of all rows."""
    found: dict[str, set[int | None]] = {}
    rows = [*report.decisions, *report.reservations, *report.releases, *report.failures]
    every = [*(row.line for row in rows), *(one.line for one in report.charges), *report.changes]
    for line in every:
        if line is not None:
            found.setdefault(line.body.tag, set()).add(line.index)
    return found


def logged(job: Job) -> dict[str, set[int | None]]:
    """What a report of a job must list for northwind, read from the log itself."""
    found: dict[str, set[int | None]] = {}
    subjects = [str(job.pk), job.wire.key_epoch]
    for event in Event.objects.filter(subject_id__in=subjects).select_related("leaf"):
        own = event.actor["organization"] == "northwind"
        if event.tag in lines.LISTED or (event.tag in lines.RECEIPTS and own):
            found.setdefault(event.tag, set()).add(event.leaf.log_index)
    return found


def test_every_row_names_the_leaf_of_its_event(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    found = world.to_charging(job)
    no = world["lakeside"].refusal(found, reason=Reason.BUDGET_EXCEEDED, detail="0.2 too much")
    world["lakeside"].post(f"jobs/{job.pk}/rounds/1/1/refusal", no)
    play(world, job)
    report = job_report(organization="northwind", job=job)
    assert leaves(report) == logged(job)
    assert [head.log for head in report.heads] == ["consortium", "own"]
    assert max(index for some in leaves(report).values() for index in some if index) < (
        report.heads[0].size
    )
    assert sum(one.count for one in report.counts if one.log == "consortium") == (
        Event.objects.filter(subject_id__in=[str(job.pk), job.wire.key_epoch]).count()
    )
    refused, abandoned = report.failures
    assert (refused.organization, refused.name) == ("lakeside", "budget_exceeded")
    assert refused.reason == "0.2 too much"
    assert "no charge: lakeside refuses" in abandoned.reason
    released = [(one.number, one.attempt, one.members, one.agree) for one in report.releases]
    assert released == [(1, 2, 3, 3), (2, 1, 3, 3)]
    assert report.releases[-1].state == job.model_digest
    keys = {one.organization: one.key for one in report.decisions}
    assert keys["summit"] == world["summit"].identity.key_id

    response = northwind_auditor.get(job_url(job, "report/"), secure=True)
    text = text_of(response)
    for said in (
        "Auditor's report: ward, logistic regression",
        "Round 1.2 released",
        "the site has not reported its ledger since",
        f"federated bundle {job.pk} --home SITE",
        "--log-key 'consortium+",
        "anchoring is off",
    ):
        assert said in text, said
    linked = re.findall(r"/o/northwind/events/consortium/[0-9a-f-]{36}/", response.content.decode())
    assert northwind_auditor.get(linked[0], secure=True).status_code == 200

    event = Event.objects.get(subject_id=str(job.pk), tag="federation:job:proposed")
    forged = bytes(event.canonical).replace(b'"rounds":2', b'"rounds":3')
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE provenance_event DISABLE TRIGGER USER")
        Event.objects.filter(pk=event.pk).update(canonical=forged)
        cursor.execute("ALTER TABLE provenance_event ENABLE TRIGGER USER")
    text = text_of(northwind_auditor.get(job_url(job, "report/"), secure=True))
    assert "1 of the events below was edited after being logged" in text


@pytest.mark.parametrize(
    ("written", "forged"),
    [
        (rb'"rho":[0-9.e-]+', b'"rho":"none"'),
        (rb',"rho":[0-9.e-]+', b""),
        (rb'"subject":{"id":"[0-9a-f-]+"', b'"subject":{"id":"no-uuid"'),
        (rb'"at":"\d{4}-\d\d-', b'"at":"2026-13-'),
        (rb'"tag":"[a-z:]+"', b'"tag":"no:such:tag"'),
        (rb"^.*$", b"no json"),
    ],
)
def test_a_report_opens_whatever_was_written_over_an_approval(
    world: World, northwind_auditor: Client, written: bytes, forged: bytes
) -> None:
    job = world.start()
    event = Event.objects.filter(subject_id=str(job.pk), tag="federation:job:approved").first()
    assert event is not None
    content, changed = re.subn(written, forged, bytes(event.canonical))
    assert changed == 1
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE provenance_event DISABLE TRIGGER USER")
        Event.objects.filter(pk=event.pk).update(canonical=content)
        cursor.execute("ALTER TABLE provenance_event ENABLE TRIGGER USER")
    for shown in (
        northwind_auditor.get(job_url(job, "report/"), secure=True),
        period(northwind_auditor, **ALWAYS),
        northwind_auditor.get(job_url(job), secure=True),
        northwind_auditor.get(f"/o/northwind/events/consortium/{event.pk}/", secure=True),
    ):
        assert shown.status_code == 200


def test_charges_periods_and_who_sees_them(
    world: World, northwind_auditor: Client, harbor_admin: Client, operator: Client
) -> None:
    job = world.start()
    play(world, job)
    rho = mirror(job)
    report = job_report(organization="northwind", job=job)
    spent = [pytest.approx(rho_to_epsilon(times * rho, DELTA)) for times in (1, 2, 3)]
    balances = [one.balance for one in report.charges if one.balance]
    assert [(one.before, one.after, one.allotted) for one in balances] == [
        (spent[0], spent[1], 4.0),
        (spent[1], spent[2], 4.0),
    ]
    own = next(one for one in report.reservations if one.own)
    assert (own.organization, own.state) == ("northwind", {"committed": 2})
    assert own.rho == pytest.approx(2 * rho)
    text = text_of(northwind_auditor.get(job_url(job, "report/"), secure=True))
    assert f"{4.0 - rho_to_epsilon(3 * rho, DELTA):.2f}" in text
    assert "the ledger as reported" not in text
    # Another organization's ledger is nobody else's to see.
    other = job_report(organization="summit", job=job)
    assert [one.balance for one in other.charges] == [None, None]
    assert [one.state for one in other.reservations] == [{}, {}, {}]

    now = timezone.now()
    start, end = now - timedelta(days=30), now + timedelta(days=30)
    found = period_report(organization="northwind", start=start, end=end)
    assert list(found.jobs) == [str(job.pk)]
    assert len(found.releases) == 2
    # A charge of a job that is not known here is listed too, without a receipt.
    assert [one.line is None for one in found.charges] == [True, False, False]
    assert {line.log for line in found.changes} == {"consortium", "own"}
    text = text_of(period(northwind_auditor, **ALWAYS))
    assert "the period has not ended" in text
    assert "no receipt here" in text
    after = period_report(organization="northwind", start=end, end=end + timedelta(days=1))
    assert (after.jobs, after.decisions, after.charges, after.counts) == ({}, [], [], [])

    assert harbor_admin.get(job_url(job, "report/", slug="harbor"), secure=True).status_code == 404
    text = text_of(period(harbor_admin, "harbor", **ALWAYS))
    assert str(job.pk) not in text
    assert "Key registered" in text
    response = operator.get("/operator/report/", ALWAYS, secure=True)
    text = text_of(response)
    assert str(job.pk) in text
    assert "Round 2 released" in text
    assert "Site joined" in text
    # The consortium has no ledger, and no link leads into an organization.
    assert 'id="charged"' not in response.content.decode()
    assert "/o/" not in response.content.decode()

    with schema_context("t_northwind"):
        Charge.objects.filter(job_id=job.pk, round=2).delete()
    text = text_of(northwind_auditor.get(job_url(job, "report/"), secure=True))
    assert text.count("receipt signed, not in the ledger as reported since") == 1


def test_a_long_report_is_cut_and_asks_no_more_queries(
    world: World, northwind_auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def queries(job: Job) -> int:
        with CaptureQueriesContext(connection) as caught:
            job_report(organization="northwind", job=Job.objects.get(pk=job.pk))
        return len(caught)

    jobs = [world.start(rounds=rounds) for rounds in (1, 2)]
    for job in jobs:
        play(world, job)
    for job in jobs:
        job_report(organization="northwind", job=job)
    assert queries(jobs[0]) == queries(jobs[1])
    mirror(jobs[1])
    monkeypatch.setattr(lines, "LINES_MOST", 6)
    report = job_report(organization="northwind", job=jobs[1])
    assert report.cut_at is not None
    assert len(report.decisions) + len(report.changes) == 6
    assert sum(one.count for one in report.counts) > 30
    # What the ledger holds past the cut is not told: its receipts are cut too.
    assert report.charges == []
    text = text_of(northwind_auditor.get(job_url(jobs[1], "report/"), secure=True))
    assert f"from {report.cut_at:%Y-%m-%d %H:%M:%S} on is counted but not listed" in text


def test_the_last_month_is_what_is_asked_first(db: None, northwind_auditor: Client) -> None:
    assert _last_month(datetime(2026, 3, 1, tzinfo=UTC)) == (
        datetime(2026, 2, 1, tzinfo=UTC),
        datetime(2026, 3, 1, tzinfo=UTC),
    )
    before = _last_month(timezone.now())
    shown = text_of(period(northwind_auditor))
    # The month may end while the page is made.
    months = (before, _last_month(timezone.now()))
    headings = [f"Auditor's report: {start:%Y-%m-%d} to {end:%Y-%m-%d}" for start, end in months]
    assert any(heading in shown for heading in headings)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"from": "soon", "to": "2026-01-01"}, "from: 'soon' is no date from 2000 on; write it as"),
        ({"from": "2026-01-01", "to": "2026-02-30"}, "to: '2026-02-30' is no date"),
        ({"from": "2026-1-1", "to": "2026-02-01"}, "from: '2026-1-1' is no date"),
        ({"from": "0300-01-01", "to": "2026-02-01"}, "from: '0300-01-01' is no date"),
        ({"from": "2026-02-01", "to": "2026-02-01"}, "to: 2026-02-01 is not after 2026-02-01"),
        ({"from": "", "to": ""}, "from: '' is no date"),
    ],
)
def test_bad_dates_are_one_clear_error(
    db: None, northwind_auditor: Client, given: dict[str, str], said: str
) -> None:
    response = period(northwind_auditor, **given)
    assert (response.status_code, said in text_of(response)) == (422, True)
    assert "What was released" not in text_of(response)
