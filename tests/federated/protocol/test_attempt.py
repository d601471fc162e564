"""The state machine of an attempt: each step, from a view of what has arrived."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.protocol.attempt import (
    GRACE_SECONDS,
    OPEN,
    Abandon,
    Charged,
    Close,
    Noised,
    Release,
    State,
    View,
    Wait,
    advance,
    trustees_asked,
)
from federated.protocol.kinds import KINDS
from federated.protocol.kinds.base import Fail, Finish, Open
from federated.protocol.kinds.benchmark import BENCHMARK
from federated.protocol.kinds.training import TRAINING

CAST = ("lakeside", "northwind", "summit", "westbrook")


def view(state: State, **changes: object) -> View:
    body: dict[str, object] = {
        "state": state,
        "deadline": 100.0,
        "minimum": 3,
        "expected": 4,
        "threshold": 3,
        "serving": CAST,
        "members": CAST,
    }
    return View(**{**body, **changes})  # type: ignore[arg-type]


def sent(*names: str) -> dict[str, str]:
    return {name: f"digest of {name}" for name in names}


def test_collecting_ends_when_everybody_has_contributed() -> None:
    three = view(State.COLLECTING, contributions=sent(*CAST[:3]))
    assert advance(three, now=99.9) == Wait()
    assert advance(three, now=100.0) == Close(sent(*CAST[:3]))
    whole = view(State.COLLECTING, contributions=sent(*CAST))
    assert advance(whole, now=0.0) == Close(sent(*CAST))


def test_while_more_may_join_it_waits_for_the_deadline() -> None:
    whole = view(State.COLLECTING, contributions=sent(*CAST), expected=None)
    assert advance(whole, now=0.0) == Wait()
    assert advance(whole, now=100.0) == Close(sent(*CAST))


def test_below_the_minimum_it_is_abandoned_and_says_who_was_there() -> None:
    two = view(State.COLLECTING, contributions=sent(*CAST[:2]))
    assert advance(two, now=100.0) == Abandon(
        "2 contributions (lakeside, northwind), the attempt's minimum is 3"
    )
    full = view(State.COLLECTING, contributions=sent(*CAST[:2]), expected=2)
    assert isinstance(advance(full, now=0.0), Abandon)


def test_charging_ends_when_every_member_has_charged() -> None:
    assert advance(view(State.CHARGING, receipts=CAST[:3]), now=0.0) == Wait()
    charged = view(State.CHARGING, receipts=CAST)
    assert advance(charged, now=0.0) == Charged(State.DECRYPTING)
    noising = view(State.CHARGING, receipts=CAST, noising=True)
    assert advance(noising, now=0.0) == Charged(State.NOISING)


def test_a_refusal_to_charge_abandons_at_once() -> None:
    refused = view(State.CHARGING, receipts=CAST[:3], refusals={"westbrook": "budget: none left"})
    assert advance(refused, now=0.0) == Abandon("no charge: westbrook refuses, budget: none left")
    late = view(State.CHARGING, receipts=CAST[:3])
    assert advance(late, now=100.0) == Abandon("no charge receipt of westbrook by the deadline")


@pytest.mark.parametrize(
    ("state", "field", "step"),
    [
        (State.NOISING, "noise", Noised(sent(*CAST[:3]))),
        (State.DECRYPTING, "shares", Release()),
    ],
)
def test_threshold_trustees_are_enough_and_fewer_are_not(state, field, step) -> None:
    assert advance(view(state, **{field: sent(*CAST[:2])}), now=0.0) == Wait()
    assert advance(view(state, **{field: sent(*CAST[:3])}), now=200.0) == step
    late = advance(view(state, **{field: sent(*CAST[:2])}), now=100.0)
    assert isinstance(late, Abandon)
    assert f"(2 of 3 {field}) by the deadline" in late.reason


@pytest.mark.parametrize("state", [State.NOISING, State.DECRYPTING])
def test_one_trustee_of_four_may_refuse_and_two_may_not(state: State) -> None:
    assert advance(view(state, refusals={"summit": "why"}), now=0.0) == Wait()
    two = advance(view(state, refusals={"summit": "why", "westbrook": "so"}), now=0.0)
    assert isinstance(two, Abandon)
    assert two.reason.endswith("summit refuses, why; westbrook refuses, so")


@pytest.mark.parametrize("state", [State.RELEASED, State.ABANDONED])
def test_nothing_follows_the_end(state: State) -> None:
    assert advance(view(state, shares=CAST, receipts=CAST), now=1e9) == Wait()


@given(
    st.sampled_from(OPEN),
    st.sets(st.sampled_from(CAST)),
    st.sets(st.sampled_from(CAST)),
    st.booleans(),
)
def test_at_the_deadline_no_attempt_waits(state, names, refusing, noising) -> None:
    one = view(
        state,
        contributions=sent(*names),
        receipts=names,
        noise=sent(*names),
        shares=names,
        refusals=dict.fromkeys(refusing, "why"),
        noising=noising,
    )
    step = advance(one, now=100.0)
    assert not isinstance(step, Wait)
    # Nothing is decrypted before every member has charged, nor summed below the minimum.
    if isinstance(step, Charged):
        assert names == set(CAST)
    if isinstance(step, Close):
        assert len(step.members) >= 3
    if isinstance(step, Noised | Release):
        assert len(names) >= 3


# Whom it asks.


def asked(one: View, *, now: float = 0.0, number: int = 1, seconds: float = 120.0) -> list[str]:
    return trustees_asked(one, number=number, since=0.0, seconds=seconds, now=now)


def test_as_many_trustees_are_asked_as_are_needed_in_turns_and_all_after_a_grace() -> None:
    one = view(State.DECRYPTING)
    turns = [asked(one, number=number) for number in range(4)]
    assert [names[0] for names in turns] == list(CAST)
    assert all(len(names) == 3 for names in turns)
    assert asked(one, now=GRACE_SECONDS - 0.1) == turns[1]
    assert asked(one, now=GRACE_SECONDS) == list(CAST)


def test_a_phase_shorter_than_the_grace_still_asks_everybody() -> None:
    one = view(State.DECRYPTING)
    assert len(asked(one, seconds=8.0, now=1.9)) == 3
    assert asked(one, seconds=8.0, now=2.0) == list(CAST)


def test_who_refuses_is_replaced_and_members_come_first() -> None:
    one = view(State.DECRYPTING, members=CAST[1:], refusals={"summit": "why"})
    assert asked(one) == ["northwind", "westbrook", "lakeside"]


def test_shares_are_asked_of_those_whose_noise_is_in() -> None:
    one = view(State.DECRYPTING, noising=True, noise=sent("lakeside", "summit", "westbrook"))
    assert set(asked(one)) == {"lakeside", "summit", "westbrook"}


def test_where_no_trustee_serves_nobody_is_asked() -> None:
    assert asked(view(State.DECRYPTING, serving=())) == []


# What follows.


class Terms:
    """As much of an agreement as ``following`` reads."""

    RELEASE, releases = "round", 2


def following(kind, state: State, *, number: int = 1, attempt: int = 1):
    return kind.following(Terms(), number=number, attempt=attempt, state=state, reason="why")


def test_a_round_is_tried_four_times_and_then_fails_the_job() -> None:
    assert following(TRAINING, State.ABANDONED, attempt=3) == Open(1, 4)
    assert following(TRAINING, State.ABANDONED, attempt=4) == Fail(
        "round 1 failed 4 times, at last: why"
    )
    assert following(TRAINING, State.RELEASED, attempt=4) == Open(2, 1)
    assert following(TRAINING, State.RELEASED, number=2) == Finish()


def test_a_run_is_tried_once_and_the_next_is_due_whatever_became_of_it() -> None:
    for state in (State.RELEASED, State.ABANDONED):
        assert following(BENCHMARK, state) == Open(2, 1)
        assert following(BENCHMARK, state, number=2) == Finish()


def test_every_kind_takes_each_message_in_one_open_state_or_after_the_release() -> None:
    for kind in KINDS:
        taken = kind.taken
        assert taken[kind.contribution] is State.COLLECTING
        assert taken["verdict"] is State.RELEASED
        assert ("noise" in taken) == kind.noising
        assert len(set(taken.values())) == len(taken)
