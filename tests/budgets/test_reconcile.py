"""The mirror against the receipts that the portal accepted: a difference is shown and logged."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django_tenants.utils import schema_context

from apps.attempts.models import Attempt
from apps.provenance.models import Event
from apps.training.models import Job
from federated.protocol.cost import round_cost
from federated.wire.site import Charge, LedgerReport
from tests.budgets.test_ledger import report, send
from tests.rows import sent
from tests.training.world import World, current

Change = Callable[[Charge], Charge | None]


def charge_of(found: Attempt, **changes: Any) -> Charge:
    cost = round_cost(found.wire)
    fields = {
        "id": str(uuid.uuid4()),
        "job_id": str(found.agreement_id),
        "round": found.number,
        "attempt": found.attempt,
        "dataset": cost.dataset,
        "unit": cost.unit,
        "rho": cost.rho,
        "state": "committed",
        "cohort": found.cohort_digest,
        "at": "2026-01-01T00:00:00Z",
    }
    return Charge(**fields | changes)


def telling(sequence: int, *charges: Charge) -> LedgerReport:
    return report(sequence, charges=charges)


@pytest.fixture
def charged(world: World) -> Attempt:
    """Round 1 of a job, charged by all: the portal holds summit's receipt."""
    job: Job = world.start()
    return world.to_decrypting(job)


def shown(world: World) -> list[tuple[str, int]]:
    told = world["summit"].get("ledger").json()
    return [(one["kind"], one["round"]) for one in told["differences"]]


def logged() -> list[dict[str, Any]]:
    with schema_context("t_summit"):
        found = Event.objects.filter(tag="budgets:ledger:differs")
        return [json.loads(bytes(event.canonical))["data"] for event in found]


def test_a_report_that_lists_what_was_signed_agrees(world: World, charged: Attempt) -> None:
    send(world, telling(1, charge_of(charged)))
    assert (shown(world), logged()) == ([], [])


def test_a_ledger_that_was_set_back_is_shown_and_logged_once(
    world: World, charged: Attempt
) -> None:
    for sequence in (1, 2):
        send(world, telling(sequence))
        assert shown(world) == [("missing", 1)]
    (data,) = logged()
    assert data["count"] == 1
    assert data["differences"][0]["job_id"] == str(charged.agreement_id)
    # The ledger is restored: nothing is shown, what was logged stays.
    send(world, telling(3, charge_of(charged)))
    assert shown(world) == []
    assert len(logged()) == 1


@pytest.mark.parametrize(
    "changes", [{"cohort": "b" * 64}, {"rho": 1e-9}], ids=["another cohort", "a smaller charge"]
)
def test_a_charge_that_differs_from_its_receipt(
    world: World, charged: Attempt, changes: dict[str, Any]
) -> None:
    send(world, telling(1, charge_of(charged, **changes)))
    assert shown(world) == [("differs", 1)]


def test_a_charge_in_flight_is_no_difference_until_its_attempt_is_over(world: World) -> None:
    found = world.to_charging(world.start())
    mine = charge_of(found)
    send(world, telling(1, mine))
    assert shown(world) == []
    sent("receipt").filter(attempt=found, organization="summit").delete()
    Attempt.objects.filter(pk=found.pk).update(state=Attempt.State.ABANDONED)
    send(world, telling(2, mine))
    assert shown(world) == [("unknown", 1)]


def test_a_charge_of_a_job_that_nobody_knows(world: World, charged: Attempt) -> None:
    other = charge_of(charged, job_id=str(uuid.uuid4()), round=4)
    send(world, telling(1, charge_of(charged), other))
    assert shown(world) == [("unknown", 4)]


def test_what_was_reserved_or_returned_is_the_sites_alone(world: World, charged: Attempt) -> None:
    rest = charge_of(charged, round=2, state="returned", cohort=None)
    send(world, telling(1, charge_of(charged), rest))
    assert shown(world) == []
    assert current(charged.agreement.job) is not None
