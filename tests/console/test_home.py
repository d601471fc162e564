"""An organization's home, the way in, and the operator's page."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.test import Client
from django_tenants.utils import schema_context

from apps.accounts.models import Membership, User
from apps.budgets.models import Account, Charge, LedgerReport
from apps.provenance.services import checkpoint_make, log_sequence
from federated.wire.site import Work
from tests.console.test_job import text_of
from tests.training.test_job_whole import play
from tests.training.world import World, dealt


def home_of(client: Client, slug: str = "northwind") -> Any:
    return client.get(f"/o/{slug}/", secure=True)


def test_an_empty_home_says_what_comes_next(harbor_admin: Client) -> None:
    text = text_of(home_of(harbor_admin, "harbor"))
    assert "No job yet" in text
    assert "Nothing allotted yet" in text


def test_jobs_are_listed_with_state_reason_and_epsilon(
    world: World, northwind_auditor: Client
) -> None:
    finished = world.start()
    play(world, finished)
    world.propose()
    text = text_of(home_of(northwind_auditor))
    assert "Finished 2 of 2 1.00 1.00" in text
    assert "Waits for approval of lakeside, northwind, summit" in text
    assert "0 running, 1 waiting" in text


def test_a_job_is_listed_for_its_participants_alone(world: World, harbor_admin: Client) -> None:
    world.propose()
    assert "No job yet" in text_of(home_of(harbor_admin, "harbor"))


def test_the_sites_agent_is_online_once_it_asked(world: World, northwind_auditor: Client) -> None:
    assert "Never seen" not in text_of(home_of(northwind_auditor))
    assert "Online" in text_of(home_of(northwind_auditor))


def test_the_budget_is_shown_in_epsilon_as_the_ledger_reported_it(
    northwind_auditor: Client,
) -> None:
    with schema_context("t_northwind"):
        LedgerReport.objects.create(sequence=1, digest="0" * 64, message={})
        Account.objects.create(
            dataset="ward", unit="record", allotted_epsilon=8.0, allotted_delta=1e-4,
            period="2026", max_queries=100, reserved_rho=0.02, committed_rho=0.1,
            spent_epsilon=2.1,
        )  # fmt: skip
        Charge.objects.create(
            job_id="00000000-0000-0000-0000-000000000000", round=1, attempt=1, dataset="ward",
            unit="record", rho=0.1, state="committed", at="2026-01-01T00:00:00Z",
        )  # fmt: skip
    text = text_of(home_of(northwind_auditor))
    assert "left of 8.00" in text
    assert "1 of 100 queries" in text
    assert "δ 1e-4" in text
    assert "as your site's ledger reported it just now" in text


def test_the_budget_of_another_organization_is_not_shown(lakeside_auditor: Client) -> None:
    with schema_context("t_northwind"):
        LedgerReport.objects.create(sequence=1, digest="0" * 64, message={})
    assert "Nothing allotted yet" in text_of(home_of(lakeside_auditor, "lakeside"))


def test_events_show_their_leaf_and_checkpoint(northwind_auditor: Client) -> None:
    with schema_context("t_northwind"):
        log_sequence()
        checkpoint = checkpoint_make()
    assert checkpoint is not None
    text = text_of(home_of(northwind_auditor))
    assert f"{checkpoint.size - 1} {checkpoint.size} not yet" in text


def test_a_member_of_one_organization_goes_straight_to_it(northwind_admin: Client) -> None:
    answer = northwind_admin.get("/", secure=True)
    assert (answer.status_code, answer["Location"]) == (302, "/o/northwind/")


def test_a_member_of_several_chooses(northwind_admin: Client, lakeside: Any) -> None:
    user = User.objects.get(email="admin@northwind.example")
    Membership.objects.create(user=user, organization=lakeside, role="auditor")
    text = text_of(northwind_admin.get("/", secure=True))
    assert "Lakeside lakeside You are auditor" in text
    assert "Northwind northwind You are admin" in text


def test_an_operator_goes_to_the_consortiums_health(operator: Client, world: World) -> None:
    world.propose()
    assert operator.get("/", secure=True)["Location"] == "/operator/"
    text = text_of(operator.get("/operator/", secure=True))
    assert "Organizations 4" in text
    assert "Proposed 1" in text
    assert "ward" not in text


def test_the_operator_sees_every_key_and_what_holds_it(operator: Client, world: World) -> None:
    world.start()
    world.publish_key(2)
    world["summit"].work(Work.KEY)
    text = text_of(operator.get("/operator/", secure=True))
    first, second = (dealt(number)[0].digest() for number in (1, 2))
    assert f"Key epoch 1 {first[:12]}, active" in text
    assert " ".join(second[at : at + 8] for at in range(0, 64, 8)) in text
    assert "summit: confirmed 0" in text
    assert "lakeside: not yet confirmed" in text
    for slug in ("harbor", "lakeside", "northwind"):
        world[slug].work(Work.KEY)
    call_command("key_retire", "1", "--reason", "stolen laptop", "--end-jobs")
    for slug in ("harbor", "lakeside"):
        world[slug].work(Work.RETIRE)
    text = text_of(operator.get("/operator/", secure=True))
    assert f"Key epoch 2 {second[:12]}, active" in text
    assert "stolen laptop" in text
    assert "harbor: destroyed lakeside: destroyed northwind: not yet destroyed" in text
    assert "too few shares are left to decrypt" in text


def test_the_operators_page_is_not_there_for_others(northwind_admin: Client) -> None:
    assert northwind_admin.get("/operator/", secure=True).status_code == 404


def test_pages_load_nothing_from_elsewhere_and_nothing_inline(northwind_admin: Client) -> None:
    answer = home_of(northwind_admin)
    page = answer.content.decode()
    assert answer["Content-Security-Policy"].startswith("default-src 'self'")
    assert "style=" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script>" not in page
