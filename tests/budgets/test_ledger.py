"""The mirror follows the site's signed reports, in the organization's schema alone."""

from __future__ import annotations

import uuid
from typing import Any

from django_tenants.utils import schema_context

from apps.budgets.models import Account, Charge, LedgerReport
from apps.provenance.models import Event
from federated.wire.base import Signed
from federated.wire.site import Account as WireAccount
from federated.wire.site import Charge as WireCharge
from federated.wire.site import LedgerReport as Report
from tests.training.world import World, identity_of


def report(sequence: int = 1, **changes: Any) -> Report:
    account = WireAccount(
        dataset="ward",
        unit="record",
        allotted_epsilon=8.0,
        allotted_delta=1e-4,
        period="year",
        max_queries=100,
        reserved_rho=0.02,
        committed_rho=0.001 * sequence,
        spent_epsilon=0.1,
    )
    charge = WireCharge(
        id=str(uuid.UUID(int=sequence)),
        job_id=str(uuid.UUID(int=7)),
        round=1,
        attempt=1,
        dataset="ward",
        unit="record",
        rho=0.001,
        state="committed",
        cohort="a" * 64,
        at="2026-01-01T00:00:00Z",
    )
    body = Report(organization="summit", sequence=sequence, accounts=(account,), charges=(charge,))
    return body.model_copy(update=changes)


def send(world: World, body: Report, *, by: str = "summit", key: str = "") -> tuple[int, str]:
    signed: Signed[Report] = identity_of(key or by).sign(body)
    answer = world[by].post("ledger", signed)
    return answer.status_code, answer.json().get("code", "")


def test_a_report_is_mirrored_in_its_organizations_schema(world: World) -> None:
    assert send(world, report()) == (201, "")
    told = world["summit"].get("ledger").json()
    assert told["sequence"] == 1
    assert told["accounts"][0]["committed_rho"] == 0.001
    assert told["charges"][0]["cohort"] == "a" * 64
    (outlook,) = told["outlook"]
    assert set(outlook["epsilon"]) == {"zcdp", "rdp", "pld", "basic", "advanced"}
    assert outlook["epsilon"]["pld"] <= outlook["epsilon"]["zcdp"]
    with schema_context("t_summit"):
        assert (Account.objects.count(), Charge.objects.count()) == (1, 1)
        assert Event.objects.filter(tag="budgets:ledger:mirrored").count() == 1
    with schema_context("t_harbor"):
        assert not Account.objects.exists()
    assert world["harbor"].get("ledger").json()["accounts"] == []


def test_a_newer_report_replaces_the_mirror(world: World) -> None:
    send(world, report(1))
    assert send(world, report(2)) == (201, "")
    with schema_context("t_summit"):
        assert [a.committed_rho for a in Account.objects.all()] == [0.002]
        assert [r.sequence for r in LedgerReport.objects.all()] == [2]


def test_the_same_report_again_changes_nothing(world: World) -> None:
    send(world, report(1))
    assert send(world, report(1)) == (200, "")
    with schema_context("t_summit"):
        assert Event.objects.filter(tag="budgets:ledger:mirrored").count() == 1


def test_an_older_report_is_refused(world: World) -> None:
    send(world, report(2))
    assert send(world, report(1)) == (409, "report_stale")
    assert send(world, report(2, charges=())) == (409, "report_stale")
    assert world["summit"].get("ledger").json()["sequence"] == 2


def test_another_organizations_report(world: World) -> None:
    assert send(world, report(), by="harbor") == (403, "forbidden")
    assert send(world, report(), by="summit", key="harbor") == (422, "signature_invalid")
    with schema_context("t_summit"):
        assert not LedgerReport.objects.exists()


def test_members_read_it(world: World, summit_auditor: Any, harbor_admin: Any) -> None:
    send(world, report())
    assert summit_auditor.get("/o/summit/api/ledger").json()["sequence"] == 1
    assert harbor_admin.get("/o/summit/api/ledger").status_code == 404
    assert harbor_admin.get("/o/harbor/api/ledger").json()["sequence"] is None
