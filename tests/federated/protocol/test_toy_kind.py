"""A kind of its own, played to its end without I/O. Nothing else was edited for it.

``toy.py`` holds all that it writes; ``registered`` is its line in ``KINDS``. The rest is the
machine that training and benchmarks are played by.
"""

from __future__ import annotations

from typing import Any

import pytest

from federated.errors import Conflict, InvalidInput, ProofInvalid
from federated.protocol import kinds
from federated.protocol.arrival import AlreadySent, Held, arrival_check, work_due
from federated.protocol.attempt import Abandon, Charged, Close, Release, State, View, advance
from federated.protocol.checks import charges_check
from federated.protocol.kinds import agreement_of, kind_of
from federated.protocol.kinds.base import Fail, Finish
from federated.protocol.refused import Refused
from federated.protocol.release import release_check, release_make
from federated.protocol.share import product_of, share_make
from federated.protocol.transcript import cohort_check, transcript_check
from federated.wire.base import Signed
from federated.wire.round import ChargeReceipt, Cohort, DecryptionShare, Reason, Verdict
from federated.wire.site import Work

from .conftest import CAST, with_
from .toy import (
    SHOW,
    Hands,
    ShowContext,
    ShowRelease,
    ShowSpec,
    ShowTranscript,
    hands_make,
    receipt_make,
    verdict_make,
)

SHOW_ID = "00000000-0000-4000-8000-0000000000aa"
HANDS = {"lakeside": 3, "northwind": 0, "summit": 41, "westbrook": 7}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, SHOW))


class Coordinator:
    """Takes what ``arrival_check`` lets through, and does what ``advance`` says."""

    def __init__(self, consortium: Any) -> None:
        self.consortium = consortium
        self.identities = consortium.identities
        spec = ShowSpec(
            show_id=SHOW_ID,
            consortium="test",
            caller="summit",
            participants=consortium.spec.participants,
            key_epoch=consortium.epoch.digest(),
            minimum_cohort=3,
        )
        self.agreement = agreement_of(spec, consortium.epoch)
        self.kind = kind_of(self.agreement)
        self.context = ShowContext(
            subject=SHOW_ID, spec=spec.digest(), number=1, attempt=1, key_epoch=spec.key_epoch
        )
        self.state, self.deadline, self.reason = State.COLLECTING, 60.0, ""
        self.sent: dict[str, dict[str, Any]] = {message: {} for message in self.kind.taken}
        self.cohort: Cohort | None = None
        self.release: ShowRelease | None = None

    def held(self) -> Held:
        return Held(
            agreement=self.agreement,
            context=self.context,
            state=self.state,
            approved=CAST,
            cohort=self.cohort,
            release=self.release,
        )

    def transcript(self) -> ShowTranscript:
        agreement = self.agreement
        return ShowTranscript(
            spec=agreement.spec,
            approvals=tuple(self.identities[n].sign(agreement.approval(n)) for n in CAST),
            context=self.context,
            given=tuple(self.sent["hand"].values()),
            receipts=tuple(self.sent["receipt"].values()),
            shares=tuple(self.sent["share"].values()),
            release=self.release,
        )

    def receive(self, message: str, signed: Any) -> bool:
        name = signed.body.organization
        before = self.sent[message].get(name)
        new = arrival_check(
            self.held(),
            message,
            signed,
            sender=name,
            before=None if before is None else before.digest(),
            product=lambda: product_of(self.transcript(), agreement=self.agreement),
        )
        self.sent[message].setdefault(name, signed)
        return new

    def step(self, *, now: float = 0.0) -> None:
        view = View(
            state=self.state,
            deadline=self.deadline,
            minimum=self.agreement.minimum(self.context),
            expected=len(CAST),
            threshold=self.agreement.threshold,
            serving=self.agreement.serving(CAST),
            contribution=self.kind.contribution,
            contributions={n: s.digest() for n, s in self.sent["hand"].items()},
            members=() if self.cohort is None else self.cohort.members,
            receipts=self.sent["receipt"],
            shares=self.sent["share"],
        )
        match advance(view, now=now):
            case Close(members):
                self.cohort = self.kind.cohort(context=self.context.digest(), members=members)
                self.state = State.CHARGING
            case Charged(state):
                self.state = state
            case Release():
                self.release, _ = release_make(self.transcript(), agreement=self.agreement)
                self.state = State.RELEASED
            case Abandon(reason):
                self.state, self.reason = State.ABANDONED, reason

    # What a site makes.

    def hands(self, name: str, count: int) -> Signed[Hands]:
        return hands_make(self.agreement, self.context, self.identities[name], count)

    def receipt(self, name: str) -> Signed[ChargeReceipt]:
        return receipt_make(self.agreement, self.transcript(), self.identities[name])

    def share(self, name: str) -> Signed[DecryptionShare]:
        transcript = self.transcript()
        cohort = transcript_check(transcript, agreement=self.agreement)
        charges_check(transcript.receipts, agreement=self.agreement, cohort=cohort)
        return share_make(
            transcript,
            agreement=self.agreement,
            share=self.consortium.shares[name],
            identity=self.identities[name],
        )

    def verdict(self, name: str) -> Signed[Verdict]:
        return verdict_make(self.agreement, self.transcript(), self.identities[name])

    def collected(self) -> Coordinator:
        for name, count in HANDS.items():
            assert self.receive("hand", self.hands(name, count))
        self.step()
        return self

    def charged(self) -> Coordinator:
        for name in CAST:
            assert self.receive("receipt", self.receipt(name))
        self.step()
        return self


@pytest.fixture
def coordinator(consortium: Any) -> Coordinator:
    return Coordinator(consortium)


def test_it_is_played_to_a_release_that_every_site_verifies(coordinator: Coordinator) -> None:
    assert coordinator.agreement.approval("summit").spec == coordinator.agreement.digest
    due = work_due(coordinator.held(), "summit", sent=(), asked=tuple)
    assert due is Work.SUBMIT
    coordinator.collected()
    assert coordinator.state is State.CHARGING
    coordinator.charged()
    assert coordinator.state is State.DECRYPTING
    for name in CAST[1:]:
        assert coordinator.receive("share", coordinator.share(name))
    coordinator.step()
    assert coordinator.state is State.RELEASED
    assert coordinator.release is not None and coordinator.release.hands == sum(HANDS.values())
    for name in CAST:
        assert coordinator.receive("verdict", coordinator.verdict(name))
    following = coordinator.kind.following(
        coordinator.agreement, number=1, attempt=1, state=coordinator.state, reason=""
    )
    assert following == Finish()


def test_below_its_minimum_it_is_abandoned(coordinator: Coordinator) -> None:
    for name in CAST[:2]:
        coordinator.receive("hand", coordinator.hands(name, 1))
    coordinator.step(now=59.0)
    assert coordinator.state is State.COLLECTING
    coordinator.step(now=60.0)
    assert coordinator.reason.startswith("2 hands (lakeside, northwind), the attempt's minimum")
    following = coordinator.kind.following(
        coordinator.agreement, number=1, attempt=1, state=coordinator.state, reason="few"
    )
    assert following == Fail("show 1 failed 1 times, at last: few")


def test_what_is_wrong_is_refused_on_arrival(coordinator: Coordinator) -> None:
    right = coordinator.hands("summit", 2)
    other = coordinator.hands("northwind", 2).body
    identity = coordinator.identities["summit"]
    stolen = identity.sign(with_(right.body, ciphertext=other.ciphertext, proof=other.proof))
    with pytest.raises(ProofInvalid):
        coordinator.receive("hand", stolen)
    with pytest.raises(InvalidInput, match="bound to 000"):
        coordinator.receive("hand", identity.sign(with_(right.body, context="0" * 64)))
    assert coordinator.receive("hand", right) is True
    assert coordinator.receive("hand", right) is False
    with pytest.raises(AlreadySent):
        coordinator.receive("hand", coordinator.hands("summit", 2))
    with pytest.raises(Conflict, match="is collecting"):
        coordinator.receive(
            "share",
            identity.sign(
                DecryptionShare(
                    context=coordinator.context.digest(),
                    cohort="0" * 64,
                    organization="summit",
                    index=3,
                    partials=(right.body.ciphertext,),
                    proof=right.body.proof,
                )
            ),
        )


def test_sites_refuse_what_the_coordinator_changes(coordinator: Coordinator) -> None:
    coordinator.collected().charged()
    agreement, transcript = coordinator.agreement, coordinator.transcript()
    cohort, own = transcript.cohort(), transcript.given[2]
    cohort_check(cohort, agreement=agreement, context=transcript.context, own=own)

    def reason(shown: ShowTranscript) -> Reason:
        with pytest.raises(Refused) as caught:
            checked = transcript_check(shown, agreement=agreement)
            charges_check(shown.receipts, agreement=agreement, cohort=checked)
        return caught.value.reason

    spec = with_(transcript.spec, minimum_cohort=4)
    assert reason(with_(transcript, spec=spec)) is Reason.SPEC_CHANGED
    context = with_(transcript.context, number=2)
    assert reason(with_(transcript, context=context)) is Reason.CONTEXT_MIXED
    assert reason(with_(transcript, approvals=transcript.approvals[1:])) is Reason.APPROVAL_MISSING
    assert reason(with_(transcript, given=transcript.given[:2])) is Reason.COHORT_BELOW_MINIMUM
    twice = (*transcript.given, transcript.given[0])
    assert reason(with_(transcript, given=twice)) is Reason.MEMBER_REPEATED
    assert reason(with_(transcript, receipts=transcript.receipts[1:])) is Reason.CHARGE_MISSING
    with pytest.raises(Refused) as caught:
        other = coordinator.hands("summit", 1)
        cohort_check(cohort, agreement=agreement, context=transcript.context, own=other)
    assert caught.value.reason is Reason.OWN_CONTRIBUTION_CHANGED
    wrong = ShowRelease(context=cohort.context, cohort=cohort.digest(), hands=50)
    shares = tuple(coordinator.share(name) for name in CAST[1:])
    with pytest.raises(InvalidInput, match="other hands"):
        release_check(with_(transcript, shares=shares, release=wrong), agreement=agreement)
