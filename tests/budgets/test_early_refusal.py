"""The portal refuses early what the site would refuse, and nothing that it would not."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from django_tenants.utils import schema_context

from apps.attempts.services.answers import endorse
from apps.budgets.models import Account, Charge
from apps.common.actor import Actor
from apps.training.models import Job
from federated.errors import BudgetExceeded
from federated.protocol.cost import job_cost
from tests.benchmarks.world import Consortium
from tests.training.world import World


def grant(slug: str, **changes: Any) -> None:
    fields = {
        "dataset": "ward", "unit": "record", "allotted_epsilon": 8.0, "allotted_delta": 1e-4,
        "period": "year", "max_queries": 2, "reserved_rho": 0.0, "committed_rho": 0.0,
        "spent_epsilon": 0.0,
    }  # fmt: skip
    with schema_context(f"t_{slug}"):
        Account.objects.create(**fields | changes)


def charge(slug: str, job_id: Any, rounds: int) -> None:
    with schema_context(f"t_{slug}"):
        Charge.objects.bulk_create(
            Charge(
                id=uuid.uuid4(), job_id=job_id, round=number, attempt=1, dataset="ward",
                unit="record", rho=1e-4, state="reserved", at="2026-01-01T00:00:00Z",
            )
            for number in range(rounds)
        )  # fmt: skip


def propose(world: World) -> tuple[int, str]:
    answer = world["northwind"].post("jobs", world.proposal(world.spec()))
    return answer.status_code, answer.json().get("detail", "")


def test_jobs_count_as_the_site_counts_them_not_their_rounds(world: World) -> None:
    grant("northwind")
    charge("northwind", world.propose().pk, rounds=30)
    assert propose(world)[0] == 201


def test_one_job_more_than_is_allowed_is_refused(world: World) -> None:
    grant("northwind")
    for _ in range(2):
        charge("northwind", world.propose().pk, rounds=1)
    status, detail = propose(world)
    assert status == 409
    assert "northwind has made 2 jobs this year; northwind allows 2" in detail


def test_jobs_of_others_do_not_count(world: World) -> None:
    grant("northwind")
    for _ in range(3):
        charge("northwind", uuid.uuid4(), rounds=1)
    assert propose(world)[0] == 201


def test_a_person_is_told_before_the_site_is_asked(world: World, summit_admin: Any) -> None:
    job = world.propose()
    grant("summit", committed_rho=job_cost(job.wire).rho * 200)
    address = f"/o/summit/jobs/{job.pk}/approve"
    page = summit_admin.post(address, secure=True, follow=True).content.decode()
    assert "too much" in page
    assert Job.objects.get(pk=job.pk).state == Job.State.PROPOSED
    assert job.participants.get(organization="summit").endorsed_by is None


def test_a_campaign_counts_under_the_name_that_the_sites_ledger_gives_it(
    db: None, tmp_path: Path
) -> None:
    consortium = Consortium(tmp_path)
    first = consortium.create()
    consortium.step("northwind")
    with schema_context("t_northwind"):
        # Real entries: the agent reserved the campaign and sent its ledger.
        assert Charge.objects.filter(dataset=first.wire.dataset, unit="organization").exists()
        Account.objects.filter(unit="organization").update(max_queries=1)
    actor = Actor.system("tests")
    with pytest.raises(BudgetExceeded, match="operator has made 1 jobs this .*allows 1"):
        endorse(consortium.create(), organization="northwind", actor=actor)
    with schema_context("t_northwind"):
        Account.objects.filter(unit="organization").update(max_queries=2)
    assert endorse(consortium.create(), organization="northwind", actor=actor)
