"""An admin asks for another allotment; the site's report says what became of it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.test import Client
from django_tenants.utils import schema_context

from apps.budgets.models import Account, AllotmentChange, AllotmentRequest
from apps.budgets.services.allotments import allotment_request
from apps.common.actor import Actor
from apps.provenance.models import Event
from federated.errors import AllotmentBelowSpent, Conflict, InvalidInput, NotFound
from federated.privacy.accountant import epsilon_to_rho
from federated.wire import site as wire
from federated.wire.site import Work
from tests.budgets.test_early_refusal import grant
from tests.budgets.test_ledger import report, send
from tests.training.world import World

ADMIN = Actor("user", str(uuid.UUID(int=1)), "admin@northwind.example", "northwind")
ALLOTTED = wire.Allotment(epsilon=8.0, delta=1e-4, period="year", max_queries_per_tenant=2)


def ask(slug: str = "northwind", **changes: Any) -> AllotmentRequest:
    """A request of an admin for an account that the site has reported."""
    with schema_context(f"t_{slug}"):
        mirrored = Account.objects.exists()
    if not mirrored:
        grant(slug)
    reason = changes.pop("reason", "fewer jobs this year")
    return allotment_request(
        organization=slug,
        dataset="ward",
        unit="record",
        changes=changes or {"epsilon": 4.0},
        reason=reason,
        actor=ADMIN,
    )


def logged(slug: str, tag: str) -> list[dict[str, Any]]:
    with schema_context(f"t_{slug}"):
        found = Event.objects.filter(tag=tag).order_by("at")
        return [json.loads(bytes(event.canonical)) for event in found]


def states(slug: str = "northwind") -> list[str]:
    with schema_context(f"t_{slug}"):
        return [row.state for row in AllotmentRequest.objects.order_by("created_at")]


def test_asking_changes_nothing_but_the_sites_inbox_and_the_log(world: World) -> None:
    row = ask()
    (event,) = logged("northwind", "budgets:allotment:requested")
    assert event["actor"]["name"] == "admin@northwind.example"
    assert event["data"]["before"]["epsilon"] == 8
    assert event["data"]["after"]["epsilon"] == 4
    assert event["data"]["reason"] == "fewer jobs this year"
    (task,) = [t for t in world["northwind"].inbox().tasks if t.kind is Work.ALLOT]
    assert task.request == str(row.pk)
    told = world["northwind"].get(f"ledger/allotments/{row.pk}")
    read = wire.AllotmentRequest.parse(told.content)
    assert read.allotment == ALLOTTED.model_copy(update={"epsilon": 4.0})
    assert world["lakeside"].get(f"ledger/allotments/{row.pk}").status_code == 404
    assert not [t for t in world["lakeside"].inbox().tasks if t.kind is Work.ALLOT]
    with schema_context("t_northwind"):
        assert Account.objects.get().allotted_epsilon == 8


def test_a_newer_request_supersedes_an_open_one(world: World) -> None:
    ask()
    ask(epsilon=3.0)
    assert states() == ["superseded", "pending"]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"epsilon": 8.0}, Conflict, "allotted epsilon 8 at delta 0.0001 a year, 2 jobs"),
        ({"epsilon": 0.0}, InvalidInput, "epsilon: Input should be greater than 0"),
        ({"delta": 0.5}, InvalidInput, "delta"),
        ({"period": "week"}, InvalidInput, "period"),
        ({"epsilon": 4.0, "reason": " "}, InvalidInput, "reason: 1 to 500 characters"),
    ],
)
def test_what_means_nothing_is_refused(world: World, changes: dict, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        ask(**changes)
    assert states() == []


def test_below_what_is_spent_says_by_how_much(world: World) -> None:
    grant("northwind", committed_rho=epsilon_to_rho(3.0, 1e-4))
    with pytest.raises(AllotmentBelowSpent, match=r"epsilon 3.000 .* of 2 would be 1.000 below"):
        ask(epsilon=2.0)
    # A smaller delta makes more epsilon of the same charges.
    with pytest.raises(AllotmentBelowSpent):
        ask(epsilon=3.0, delta=1e-9)
    ask(epsilon=3.1)


def test_an_account_that_the_site_never_reported(world: World) -> None:
    with pytest.raises(NotFound):
        allotment_request(
            organization="northwind", dataset="ward", unit="record", changes={"epsilon": 1.0},
            reason="x", actor=ADMIN,
        )  # fmt: skip


def change_of(**changes: Any) -> wire.AllotmentChange:
    fields = {
        "id": str(uuid.uuid4()), "dataset": "ward", "unit": "record", "before": ALLOTTED,
        "after": ALLOTTED.model_copy(update={"epsilon": 4.0}), "reason": "less", "by": "ann",
        "at": "2026-02-01T00:00:00Z",
    }  # fmt: skip
    return wire.AllotmentChange(**fields | changes)


def answer_of(row: AllotmentRequest, state: str) -> wire.AllotmentAnswer:
    return wire.AllotmentAnswer(
        request=str(row.pk), state=state, detail="told", at="2026-02-01T00:00:00Z"
    )


def test_the_sites_changes_are_kept_and_logged_once(world: World) -> None:
    first = change_of(before=None, after=ALLOTTED, reason="the policy file grants it")
    second = change_of()
    for sequence in (1, 2):
        send(world, report(sequence, changes=(first, second)))
    (granted,) = logged("summit", "budgets:allotment:granted")
    assert granted["data"]["before"] is None
    (changed,) = logged("summit", "budgets:allotment:changed")
    assert changed["data"]["before"]["epsilon"] == 8
    assert changed["data"]["after"]["epsilon"] == 4
    assert (changed["data"]["reason"], changed["data"]["by"]) == ("less", "ann")
    assert changed["actor"]["kind"] == "site"
    told = world["summit"].get("ledger").json()
    assert [one["by"] for one in told["changes"]] == ["ann", "ann"]
    with schema_context("t_summit"):
        assert AllotmentChange.objects.count() == 2


@pytest.mark.parametrize("state", ["applied", "waiting", "declined"])
def test_the_sites_answer_settles_a_request(world: World, state: str) -> None:
    row = ask("summit")
    for sequence in (1, 2):
        send(world, report(sequence, answers=(answer_of(row, state),)))
    assert states("summit") == [state]
    (event,) = logged("summit", "budgets:allotment:answered")
    assert event["data"] == {"state": state, "detail": "told"}
    assert not [t for t in world["summit"].inbox().tasks if t.kind is Work.ALLOT]


def test_an_answer_to_what_was_superseded_does_not_open_it_again(world: World) -> None:
    old = ask("summit")
    ask("summit", epsilon=3.0)
    send(world, report(1, answers=(answer_of(old, "waiting"),)))
    assert states("summit") == ["superseded", "pending"]
    send(world, report(2, answers=(answer_of(old, "applied"),)))
    assert states("summit") == ["applied", "pending"]


def post(client: Client, body: dict[str, Any]) -> Any:
    address = "/o/northwind/api/ledger/allotments"
    return client.post(address, json.dumps(body), content_type="application/json", secure=True)


def test_an_admin_asks_by_the_api(world: World, northwind_admin: Client) -> None:
    grant("northwind")
    body = {"dataset": "ward", "max_queries_per_tenant": 1, "reason": "one is enough"}
    told = post(northwind_admin, body)
    assert told.status_code == 201, told.content
    assert told.json()["allotment"] == ALLOTTED.dump() | {"max_queries_per_tenant": 1}
    assert told.json()["state"] == "pending"
    listed = northwind_admin.get("/o/northwind/api/ledger/allotments", secure=True).json()
    assert [one["reason"] for one in listed["requests"]] == ["one is enough"]
    refused = post(northwind_admin, body | {"epsilon": "many"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")


@pytest.mark.parametrize("role", ["scientist", "auditor"])
def test_only_an_admin_asks(world: World, request: Any, role: str) -> None:
    grant("northwind")
    client = request.getfixturevalue(f"northwind_{role}")
    assert post(client, {"dataset": "ward", "epsilon": 4.0, "reason": "x"}).status_code == 403
    answer = client.post("/o/northwind/budget/allot", {"epsilon": "4"}, secure=True)
    assert answer.status_code == 403
    page = client.get("/o/northwind/budget/", secure=True).content.decode()
    assert "Change the allotment" not in page
    assert states() == []


def test_a_site_changes_its_own_ledger_instead(world: World) -> None:
    grant("northwind")
    body = wire.AllotmentAsk(dataset="ward", epsilon=4.0, reason="x")
    answer = world["northwind"].post("ledger/allotments", body)
    assert (answer.status_code, "federated ledger allot" in answer.json()["detail"]) == (403, True)


def page_of(client: Client, **form: str) -> str:
    if form:
        fields = {"dataset": "ward", "unit": "record"} | form
        answer = client.post("/o/northwind/budget/allot", fields, secure=True, follow=True)
    else:
        answer = client.get("/o/northwind/budget/", secure=True)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_the_page_asks_shows_what_waits_and_the_history(
    world: World, northwind_admin: Client
) -> None:
    grant("northwind")
    page = page_of(northwind_admin, epsilon="1e1", reason="a second study")
    assert "Your site decides" in page
    assert "ε 8 → 10 (a second study)" in page
    assert "on its way to your site" in page
    with schema_context("t_northwind"):
        row = AllotmentRequest.objects.get()
    settled = change_of(
        after=ALLOTTED.model_copy(update={"epsilon": 10.0}),
        reason="confirmed",
        by="bob at the site",
    )
    body = report(1, answers=(answer_of(row, "waiting"),))
    send(world, body.model_copy(update={"organization": "northwind"}), by="northwind")
    assert f"federated ledger confirm {row.pk}" in page_of(northwind_admin)
    body = report(2, answers=(answer_of(row, "applied"),), changes=(settled,))
    send(world, body.model_copy(update={"organization": "northwind"}), by="northwind")
    page = page_of(northwind_admin)
    assert "federated ledger confirm" not in page
    assert "ε 8 → 10" in page
    assert "bob at the site" in page


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"epsilon": "much", "reason": "x"}, "epsilon: &#x27;much&#x27; is not a number"),
        ({"epsilon": "4"}, "String should have at least 1 character"),
        ({"reason": "x"}, "it is allotted epsilon 8"),
        ({"epsilon": "nan", "reason": "x"}, "epsilon: &#x27;nan&#x27; is not a number"),
        ({"max_queries_per_tenant": "1.5", "reason": "x"}, "&#x27;1.5&#x27; is not a number"),
    ],
)
def test_a_wrong_form_is_told_and_asks_nothing(
    world: World, northwind_admin: Client, form: dict[str, str], said: str
) -> None:
    grant("northwind")
    assert said in page_of(northwind_admin, **form)
    assert states() == []
