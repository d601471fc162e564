"""Who may change an allotment: the owner at the site; the portal only downwards."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from django_tenants.utils import schema_context
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from apps.budgets.models import Account, AllotmentRequest
from apps.budgets.services.allotments import allotment_request
from apps.common.actor import Actor
from apps.keys.bell import bell_ring
from federated.api.coordinator import CoordinatorAPI
from federated.command import ledger as ledger_cli
from federated.command.main import main
from federated.errors import (
    AllotmentBelowSpent,
    BudgetExceeded,
    Conflict,
    InvalidInput,
    NotFound,
)
from federated.privacy.accountant import rho_to_epsilon
from federated.protocol.cost import job_cost
from federated.site.allotments import PERIODS, grants_more
from federated.site.ledger import Ledger
from federated.site.policy import Allotment as PolicyAllotment
from federated.wire.site import Allotment, Work
from federated.wire.site import AllotmentRequest as Request
from tests.federated.client.portal import SiteAtWork, home_make
from tests.federated.client.test_ledger import ALLOTMENT, RHO, reserve
from tests.training.world import CAST, World

ADMIN = Actor("user", str(uuid.UUID(int=1)), "admin@northwind.example", "northwind")
GRANTED = Allotment(epsilon=8.0, delta=1e-4, period="year", max_queries_per_tenant=100)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.sqlite", now=lambda: NOW)) as made:
        yield made


NOW = datetime(2026, 5, 1, tzinfo=UTC)


def but(**changes: object) -> Allotment:
    return GRANTED.model_copy(update=changes)


def asked(**changes: object) -> Request:
    fields = {
        "id": str(uuid.uuid4()), "organization": "northwind", "dataset": "heart",
        "unit": "record", "allotment": but(epsilon=4.0), "reason": "a smaller study",
        "requested_by": "admin@northwind.example", "at": "2026-05-01T00:00:00Z",
    }  # fmt: skip
    return Request(**fields | changes)


def history(ledger: Ledger) -> list[tuple[float | None, float, str]]:
    changes = ledger.report("northwind").changes
    return [(c.before and c.before.epsilon, c.after.epsilon, c.by) for c in changes]


# The policy file and people at the site.


def test_the_last_word_counts_the_file_or_a_person(ledger: Ledger) -> None:
    for _ in range(2):
        ledger.grant("heart", "record", ALLOTMENT)
    ledger.allot("heart", "record", but(epsilon=9.0), reason="a second study", by="ann")
    reserve(ledger)  # with the policy file's 8, which has not changed since
    assert ledger.allotment("heart", "record") == but(epsilon=9.0)
    ledger.grant("heart", "record", ALLOTMENT.model_copy(update={"epsilon": 6.0}))
    assert history(ledger) == [
        (None, 8.0, "policy.yaml"),
        (8.0, 9.0, "ann"),
        (9.0, 6.0, "policy.yaml"),
    ]


def test_a_raise_lets_more_in_and_a_lowering_less(ledger: Ledger) -> None:
    small = PolicyAllotment(epsilon=rho_to_epsilon(3 * RHO, 1e-4), delta=1e-4)
    reserve(ledger, rounds=3, allotment=small)
    with pytest.raises(BudgetExceeded):
        reserve(ledger, rounds=3, allotment=small)
    ledger.allot("heart", "record", but(epsilon=8.0), reason="more", by="ann")
    reserve(ledger, rounds=3, allotment=small)
    lower = but(epsilon=rho_to_epsilon(6 * RHO, 1e-4))
    ledger.allot("heart", "record", lower, reason="enough", by="ann")
    with pytest.raises(BudgetExceeded):
        reserve(ledger, rounds=1, allotment=small)


def test_below_what_is_spent_or_reserved_is_refused_with_numbers(ledger: Ledger) -> None:
    reserve(ledger, rounds=10)
    used = rho_to_epsilon(10 * RHO, 1e-4)
    with pytest.raises(AllotmentBelowSpent, match=f"{used - 0.5:.3f} below") as caught:
        ledger.allot("heart", "record", but(epsilon=0.5), reason="less", by="ann")
    assert caught.value.fields == {"used": pytest.approx(used), "asked": 0.5}
    assert ledger.allotment("heart", "record") == GRANTED
    with pytest.raises(AllotmentBelowSpent, match="this lifetime"):
        ledger.allot("heart", "record", but(epsilon=0.5, period="lifetime"), reason="x", by="a")


def test_a_change_needs_a_reason_and_has_to_change_something(ledger: Ledger) -> None:
    ledger.grant("heart", "record", ALLOTMENT)
    with pytest.raises(InvalidInput, match="reason"):
        ledger.allot("heart", "record", but(epsilon=4.0), reason=" \n", by="ann")
    with pytest.raises(Conflict, match="already"):
        ledger.allot("heart", "record", GRANTED, reason="x", by="ann")
    assert len(history(ledger)) == 1


def test_a_change_is_reported_and_survives_the_process(ledger: Ledger) -> None:
    ledger.grant("heart", "record", ALLOTMENT)
    seen = ledger.report("northwind").sequence
    made = ledger.allot("heart", "record", but(max_queries_per_tenant=7), reason="x", by="ann")
    with closing(Ledger(ledger.path)) as again:
        report = again.changed(seen, "northwind")
        assert report is not None
        assert report.changes[-1] == made
        assert report.accounts[0].max_queries == 7


# Requests of the portal.


@pytest.mark.parametrize(
    ("after", "state"),
    [
        (but(epsilon=4.0), "applied"),
        (but(max_queries_per_tenant=1), "applied"),
        (but(delta=1e-6), "applied"),
        (but(period="lifetime"), "applied"),
        (but(epsilon=8.1), "waiting"),
        (but(epsilon=4.0, max_queries_per_tenant=101), "waiting"),
        (but(epsilon=4.0, delta=1e-3), "waiting"),
        (but(epsilon=4.0, period="month"), "waiting"),
        (GRANTED, "declined"),
    ],
)
def test_only_what_grants_nothing_more_holds_at_once(
    ledger: Ledger, after: Allotment, state: str
) -> None:
    ledger.grant("heart", "record", ALLOTMENT)
    answer, new = ledger.request_take(asked(allotment=after), lower_at_once=True)
    assert (answer.state, new) == (state, True)
    assert ledger.allotment("heart", "record") == (after if state == "applied" else GRANTED)


ALLOTMENTS = st.builds(
    Allotment,
    epsilon=st.sampled_from([0.5, 8.0, 900.0]),
    delta=st.sampled_from([1e-9, 1e-4, 0.1]),
    period=st.sampled_from(PERIODS),
    max_queries_per_tenant=st.sampled_from([1, 100, 10**6]),
)


@given(before=ALLOTMENTS, after=ALLOTMENTS)
def test_a_change_and_its_reverse_never_both_hold_at_once(before, after) -> None:
    """Else a portal could go up in two steps that each look like a lowering."""
    if before != after:
        assert grants_more(before, after) or grants_more(after, before)


@given(first=ALLOTMENTS, second=ALLOTMENTS, third=ALLOTMENTS)
def test_lowerings_compose_to_a_lowering(first, second, third) -> None:
    if not grants_more(first, second) and not grants_more(second, third):
        assert not grants_more(first, third)


def test_a_policy_may_leave_every_request_to_a_person(ledger: Ledger) -> None:
    ledger.grant("heart", "record", ALLOTMENT)
    answer, _ = ledger.request_take(asked(), lower_at_once=False)
    assert answer.state == "waiting"
    assert "portal_allotments" in answer.detail


def test_a_request_below_what_is_reserved_or_of_no_account_is_declined(ledger: Ledger) -> None:
    reserve(ledger, rounds=10)
    answer, _ = ledger.request_take(asked(allotment=but(epsilon=0.1)), lower_at_once=True)
    assert answer.state == "declined"
    assert "below it" in answer.detail
    answer, _ = ledger.request_take(asked(dataset="other"), lower_at_once=True)
    assert answer.detail == "the site holds no account of other"


def test_a_person_confirms_or_declines_what_waits_once(ledger: Ledger) -> None:
    ledger.grant("heart", "record", ALLOTMENT)
    request = asked(allotment=but(epsilon=12.0))
    ledger.request_take(request, lower_at_once=True)
    assert ledger.requests_waiting() == [request]
    made = ledger.request_confirm(request.id, reason="board of May 2", by="bob")
    assert made.by == "bob, for admin@northwind.example in the portal"
    assert made.reason == "a smaller study (confirmed: board of May 2)"
    assert ledger.allotment("heart", "record") == but(epsilon=12.0)
    for act in (ledger.request_confirm, ledger.request_decline):
        with pytest.raises(Conflict, match="it is applied"):
            act(request.id, reason="x", by="bob")
    with pytest.raises(NotFound):
        ledger.request_confirm(str(uuid.uuid4()), reason="x", by="bob")
    other = asked(allotment=but(epsilon=20.0))
    ledger.request_take(other, lower_at_once=True)
    ledger.request_decline(other.id, reason="too much", by="bob")
    (_, answer) = sorted(ledger.report("northwind").answers, key=lambda a: a.state)
    assert (answer.state, answer.detail) == ("declined", "declined by bob: too much")


def test_a_request_that_comes_again_is_answered_from_memory(ledger: Ledger) -> None:
    """A replayed lowering does not undo what the owner decided since."""
    ledger.grant("heart", "record", ALLOTMENT)
    request = asked()
    ledger.request_take(request, lower_at_once=True)
    ledger.allot("heart", "record", but(epsilon=7.0), reason="owner", by="ann")
    answer, new = ledger.request_take(request, lower_at_once=True)
    assert (answer.state, new) == ("applied", False)
    assert ledger.allotment("heart", "record") == but(epsilon=7.0)


def test_an_id_that_comes_with_other_content_is_refused(ledger: Ledger) -> None:
    """What a person reads before confirming cannot be exchanged under its id."""
    ledger.grant("heart", "record", ALLOTMENT)
    request = asked(allotment=but(epsilon=9.0))
    ledger.request_take(request, lower_at_once=True)
    swapped = request.model_copy(update={"allotment": but(epsilon=900.0)})
    with pytest.raises(Conflict, match="other content"):
        ledger.request_take(swapped, lower_at_once=True)
    ledger.request_confirm(request.id, reason="x", by="bob")
    assert ledger.allotment("heart", "record") == but(epsilon=9.0)


def test_a_newer_request_takes_the_place_of_one_that_waits(ledger: Ledger) -> None:
    ledger.grant("heart", "record", ALLOTMENT)
    old, new = (asked(allotment=but(epsilon=e)) for e in (9.0, 10.0))
    for request in (old, new):
        ledger.request_take(request, lower_at_once=True)
    assert ledger.requests_waiting() == [new]
    with pytest.raises(Conflict, match="came after it"):
        ledger.request_confirm(old.id, reason="x", by="bob")


# The agent against the portal.


@pytest.fixture
def site(db: None, tmp_path: Path) -> SiteAtWork:
    world = World()
    world.publish_key()
    made = SiteAtWork(home_make(tmp_path, "northwind"))
    made.home.ledger.grant("ward", "record", PolicyAllotment())
    made.step()
    made.step()
    return made


def ask(**changes: object) -> AllotmentRequest:
    row = allotment_request(
        organization="northwind",
        dataset="ward",
        unit="record",
        changes=changes,
        reason="the board's wish",
        actor=ADMIN,
    )
    bell_ring(["northwind"])
    return row


def mirrored() -> tuple[float, list[str]]:
    with schema_context("t_northwind"):
        states = [row.state for row in AllotmentRequest.objects.order_by("created_at")]
        return Account.objects.get().allotted_epsilon, states


def test_a_lowering_asked_in_the_portal_holds_and_is_mirrored(site: SiteAtWork) -> None:
    ask(epsilon=5.0)
    assert mirrored() == (8.0, ["pending"])
    site.step()
    assert site.said("admin@northwind.example asks in the portal for epsilon 5")
    site.step()
    assert mirrored() == (5.0, ["applied"])


def test_a_raise_asked_in_the_portal_waits_for_a_person_at_the_site(site: SiteAtWork) -> None:
    row = ask(epsilon=12.0)
    for _ in range(3):
        site.step()
    assert site.said(f"federated ledger confirm {row.pk}")
    assert mirrored() == (8.0, ["waiting"])
    assert site.home.ledger.allotment("ward", "record").epsilon == 8.0
    listed = run("requests", "--home", str(site.home.path)).stdout
    assert "epsilon 8 at" in listed
    assert "epsilon 12 at" in listed
    done = run("confirm", str(row.pk), "--home", str(site.home.path), "--reason", "agreed")
    assert done.exit_code == 0, done.stderr
    assert "now     epsilon 12" in done.stdout
    site.step()
    assert mirrored() == (12.0, ["applied"])


def test_a_portal_that_invents_a_raise_gets_nothing(site: SiteAtWork) -> None:
    """It writes the request, the mirror, and swaps the request after the site has read it."""
    row = ask(epsilon=9.0)
    with schema_context("t_northwind"):
        loud = row.message["allotment"] | {"epsilon": 900.0}
        AllotmentRequest.objects.update(message=row.message | {"allotment": loud})
        Account.objects.update(allotted_epsilon=900.0)
    site.step()
    assert site.home.ledger.allotment("ward", "record").epsilon == 8.0
    with schema_context("t_northwind"):
        AllotmentRequest.objects.update(message=row.message, state="pending")
    bell_ring(["northwind"])
    site.step()
    assert site.said("it came with other content before")
    assert site.home.ledger.allotment("ward", "record").epsilon == 8.0
    # The site's next report puts the mirror right again.
    home = str(site.home.path)
    run("decline", str(row.pk), "--home", home, "--reason", "nobody asked")
    site.step()
    site.step()
    assert mirrored() == (8.0, ["declined"])


def test_a_request_for_another_organization_is_not_taken(site: SiteAtWork) -> None:
    row = ask(epsilon=5.0)
    with schema_context("t_northwind"):
        AllotmentRequest.objects.update(message=row.message | {"organization": "summit"})
    site.step()
    assert site.said("of summit came for")
    assert site.home.ledger.allotment("ward", "record").epsilon == 8.0


# The command.


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("ledger", *arguments), catch_exceptions=False)


def test_the_command_changes_what_is_given_and_shows_both(
    site: SiteAtWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ("--home", str(site.home.path))
    done = run("allot", "ward", *home, "--epsilon", "6", "--max-queries", "3", "--reason", "less")
    assert done.exit_code == 0, done.stderr
    assert "before  epsilon 8 at delta 0.0001 a year, 100 jobs" in done.stdout
    assert "now     epsilon 6 at delta 0.0001 a year, 3 jobs" in done.stdout
    monkeypatch.setattr(ledger_cli, "out", Console(width=160))
    shown = run(*home).stdout
    assert "epsilon 8 → 6, jobs of a proposer 100 → 3" in shown
    assert "at the site" in shown
    told = json.loads(run(*home, "--json").stdout)
    assert told["changes"][-1]["reason"] == "less"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("allot", "ward", "--reason", "x"), 1, "give what changes"),
        (("allot", "ward", "--epsilon", "0", "--reason", "x"), 1, "epsilon: Input should be"),
        (("allot", "ward", "--epsilon", "nan", "--reason", "x"), 1, "[invalid_input]"),
        (("allot", "other", "--epsilon", "1", "--reason", "x"), 1, "no account and no data set"),
        (("allot", "ward", "--epsilon", "1"), 2, "Missing option '--reason'"),
        (("confirm", "no-such", "--reason", "x"), 1, "none came from the portal [not_found]"),
    ],
)
def test_a_wrong_command_is_one_clear_error(
    site: SiteAtWork, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = run(*arguments, "--home", str(site.home.path))
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr


def test_nothing_waits(site: SiteAtWork) -> None:
    assert "nothing waits" in run("requests", "--home", str(site.home.path)).stdout
    assert "Missing option '--home'" in run().stderr


def test_a_jobs_cost_is_known_at_the_site_before_anyone_approves(
    site: SiteAtWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.home.policy_path.write_text("minimum_key_bits: 512\ndatasets: {ward: {path: ward.csv}}\n")
    world = World()
    for slug in CAST:
        world[slug].work(Work.KEY)
    job = world.propose()
    site.step()
    alone = rho_to_epsilon(job_cost(job.wire).rho, 1e-4)
    line = f"it would cost epsilon {alone:.3f} of ward per record at delta 0.0001; 8.000 is left"
    assert site.said(f"waits for a person's approval: {line} of 8 a year, {8 - alone:.3f} would be")
    monkeypatch.setattr(CoordinatorAPI, "for_site", lambda *_, **__: site.api)
    monkeypatch.setattr(site.api, "close", lambda: None)  # it is the agent's, too
    home = ("--home", str(site.home.path))
    shown = run("cost", str(job.pk), *home).stdout
    assert line in shown
    assert "proposed" in shown
    assert "epsilon 1.000 against the coordinator with 1 sites" in shown
    assert "all other insiders" in shown
    assert f"discrete Gaussian, sigma {job.wire.privacy.noise_sigma:.4g} a site" in shown
    run("allot", "ward", *home, "--epsilon", "0.1", "--reason", "nearly none")
    assert f"{alone - 0.1:.3f} short" in run("cost", str(job.pk), *home).stdout
    assert site.home.ledger.report("northwind").charges == ()
