"""The budget page, and what a job would cost before anyone approves it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django_tenants.utils import schema_context

from apps.budgets import outlook
from apps.budgets.models import Account, Charge, LedgerReport
from federated.privacy.accountant import epsilon_to_rho, rho_to_epsilon
from federated.privacy.composition import gaussian_epsilon
from federated.protocol.cost import job_cost
from federated.site.ledger_report import stamp
from tests.console.test_job import job_url, text_of
from tests.training.test_job_whole import play
from tests.training.world import World

RHO = epsilon_to_rho(1.0, 1e-4) / 2


def page(client: Client, slug: str = "northwind") -> Any:
    return client.get(f"/o/{slug}/budget/", secure=True)


def account(**changes: Any) -> Account:
    fields = {
        "dataset": "ward", "unit": "record", "allotted_epsilon": 8.0, "allotted_delta": 1e-4,
        "period": "year", "max_queries": 100, "reserved_rho": 0.0, "committed_rho": 2 * RHO,
        "spent_epsilon": 1.0,
    }  # fmt: skip
    return Account(**fields | changes)


def charge(job_id: Any, number: int, at: datetime, **changes: Any) -> Charge:
    fields = {
        "id": uuid.uuid4(), "job_id": job_id, "round": number, "attempt": 1, "dataset": "ward",
        "unit": "record", "rho": RHO, "state": "committed", "cohort": "a" * 64, "at": stamp(at),
    }  # fmt: skip
    return Charge(**fields | changes)


def mirror(job_id: Any, **changes: Any) -> None:
    now = timezone.now()
    with schema_context("t_northwind"):
        LedgerReport.objects.create(sequence=7, digest="0" * 64, message={}, **changes)
        account(period="lifetime").save()
        charge(job_id, 1, now - timedelta(days=4)).save()
        charge(job_id, 2, now - timedelta(days=2)).save()


def test_what_was_bought_and_what_it_composes_to(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    play(world, job)
    job.refresh_from_db()
    mirror(job.pk)
    answer = page(northwind_auditor)
    text = text_of(answer)
    assert "Report 7 of your site's ledger" in text
    assert "ε 7.00 left of 8.00 at δ 1e-4" in text
    assert "ward, logistic regression" in text
    assert "2 charged 2 rounds model" in text
    sigma = job.wire.privacy.noise_sigma
    assert f"discrete Gaussian, sigma {sigma:.4g} a site where 3 contribute, 2 counted" in text
    assert "sensitivity 256, clipping norm 1, 2 rounds" in text
    assert "ε by zCDP, the ledger's 1.00" in text
    tightest = gaussian_epsilon(2 * RHO, 1e-4)
    assert tightest < 1
    assert f"ε by privacy loss distribution {tightest:.3g}" in text
    assert "ε by basic composition 1." in text
    assert "At this rate the lifetime's budget ends on" in text
    assert 'class="plot"' in answer.content.decode()
    assert str(job.pk) in answer.content.decode()


def test_a_charge_of_a_job_that_is_not_known_here(northwind_auditor: Client) -> None:
    mirror(uuid.uuid4())
    assert "A job that is not known here" in text_of(page(northwind_auditor))


def test_a_difference_is_shown_first(northwind_auditor: Client) -> None:
    told = {"kind": "missing", "job_id": str(uuid.uuid4()), "round": 3, "attempt": 2}
    mirror(uuid.uuid4(), differences=[told | {"detail": "its ledger does not list it"}])
    text = text_of(page(northwind_auditor))
    assert "The ledger and its receipts differ 1 difference, in your log" in text
    assert "round 3, attempt 2" in text
    assert "missing its ledger does not list it" in text


def test_an_organization_without_a_report_is_told_what_comes_next(harbor_admin: Client) -> None:
    text = text_of(page(harbor_admin, "harbor"))
    assert "its first report shows here" in text
    assert "Nothing allotted yet" in text


def grant(rho: float) -> None:
    with schema_context("t_northwind"):
        account(allotted_delta=1e-5, committed_rho=rho).save()


def test_a_proposal_shows_its_cost_and_what_would_be_left(
    world: World, northwind_auditor: Client
) -> None:
    job = world.propose()
    url = job_url(job)
    assert "your site has reported no account for ward yet" in text_of(
        northwind_auditor.get(url, secure=True)
    )
    cost = job_cost(job.wire).rho
    told = northwind_auditor.get(f"/o/northwind/api/jobs/{job.pk}", secure=True).json()["cost"]
    assert (told["epsilon"], told["left"]) == (pytest.approx(1.0, abs=1e-3), None)
    grant(cost)
    left = 8.0 - rho_to_epsilon(2 * cost, 1e-5)
    text = text_of(northwind_auditor.get(url, secure=True))
    assert "It would cost ε 1.00 of ward at δ 1e-5: ε 7.00 is left of 8.00" in text
    told = northwind_auditor.get(f"/o/northwind/api/jobs/{job.pk}", secure=True).json()["cost"]
    assert told["left_after"] == pytest.approx(left)
    assert (told["allotted"], told["unit"], told["period"]) == (8.0, "record", "year")
    assert f"and {left:.2f} would be." in text


def test_a_proposal_that_does_not_fit_says_by_how_much(
    world: World, northwind_auditor: Client
) -> None:
    job = world.propose()
    cost = job_cost(job.wire).rho
    used = epsilon_to_rho(7.9, 1e-5)
    grant(used)
    excess = rho_to_epsilon(used + cost, 1e-5) - 8.0
    text = text_of(northwind_auditor.get(job_url(job), secure=True))
    assert f"{excess:.3g} more than the 0.1 that is left of 8.00: your site will decline" in text


def test_a_running_job_asks_nobody(world: World, northwind_auditor: Client) -> None:
    job = world.start()
    assert "It would cost" not in text_of(northwind_auditor.get(job_url(job), secure=True))


NOW = datetime(2026, 7, 1, tzinfo=UTC)


def made(days: float, count: int = 2) -> list[outlook.Made]:
    return [
        outlook.Made(NOW - timedelta(days=days * (count - n) / count), RHO) for n in range(count)
    ]


def test_the_forecast_spends_what_is_left_at_the_rate_so_far() -> None:
    whole = epsilon_to_rho(1.5, 1e-4)
    tight = account(allotted_epsilon=1.5)
    expected = NOW + timedelta(days=10) * ((whole - 2 * RHO) / (2 * RHO))
    found = outlook.used_up_at(tight, made(10), NOW)
    assert found is not None
    assert abs(found - expected) < timedelta(seconds=1)
    tight.reserved_rho = whole - 2 * RHO
    assert outlook.used_up_at(tight, made(10), NOW) == NOW


@pytest.mark.parametrize("history", [[], made(1 / 48)], ids=["no charge", "no time"])
def test_there_is_no_forecast_without_a_rate(history: list[outlook.Made]) -> None:
    assert outlook.used_up_at(account(), history, NOW) is None


def test_a_budget_that_outlasts_its_period_has_no_end() -> None:
    assert outlook.used_up_at(account(), made(100), NOW) is None


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("month", (2026, 12, 1), (2027, 1, 1)),
        ("quarter", (2026, 10, 1), (2027, 1, 1)),
        ("year", (2026, 1, 1), (2027, 1, 1)),
    ],
)
def test_a_period_is_the_calendars(period: str, start: tuple, end: tuple) -> None:
    found = outlook.period_of(account(period=period), datetime(2026, 12, 5, tzinfo=UTC))
    assert found == (datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC))


def test_charges_of_the_period_before_are_not_composed() -> None:
    charges = [
        charge(uuid.uuid4(), 1, datetime(2025, 12, 31, tzinfo=UTC)),
        charge(uuid.uuid4(), 2, NOW),
        charge(uuid.uuid4(), 3, NOW, state="reserved", cohort=""),
    ]
    assert outlook.charges_of_period(account(), charges, NOW) == [outlook.Made(NOW, RHO)]


def test_pure_charges_are_composed_as_such() -> None:
    """Two runs of epsilon 2: 4 in all, not the 14 that rho 4 would read as."""
    runs = [outlook.Made(NOW - timedelta(days=n), 2.0, 2.0) for n in (20, 10)]
    of = account(reserved_rho=0.0, committed_rho=4.0, pure_rho=4.0, pure_epsilon=4.0)
    rules = outlook.composition(of, runs)
    assert (rules["zcdp"], rules["basic"]) == (4.0, 4.0)
    assert rules["pld"] <= 4.0 + 1e-9
    assert [point.zcdp for point in outlook.composed(of, runs)] == [2.0, 4.0]
    # 4 more are left, at 4 in 20 days.
    end = outlook.used_up_at(of, runs, NOW)
    assert end is not None
    assert abs(end - (NOW + timedelta(days=20))) < timedelta(seconds=1)
