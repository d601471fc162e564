"""A kind of its own: sites count hands, nobody sees a single one. Nothing else was edited for it.

Its messages, its agreement and its ``Kind`` are all that a new kind writes; ``registered`` is its
line in ``KINDS``. The rest is the machine that training and benchmarks are played by.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field

from federated.crypto import proofs
from federated.errors import Conflict, InvalidInput, ProofInvalid
from federated.protocol import kinds
from federated.protocol.agreement import Agreement
from federated.protocol.arrival import AlreadySent, Held, arrival_check, work_due
from federated.protocol.attempt import Abandon, Charged, Close, Release, State, View, advance
from federated.protocol.checks import charges_check
from federated.protocol.kinds import agreement_of, kind_of
from federated.protocol.kinds.base import Fail, Finish, Kind
from federated.protocol.refused import Refused
from federated.protocol.release import release_check, release_make
from federated.protocol.share import product_of, share_make
from federated.protocol.transcript import cohort_check, transcript_check
from federated.wire.base import (
    Bytes,
    Digest,
    Identifier,
    Message,
    Signed,
    Slug,
    decode_bytes,
    encode_bytes,
)
from federated.wire.job import Cost, Participant
from federated.wire.round import ChargeReceipt, Cohort, DecryptionShare, Reason, Verdict, digests_of
from federated.wire.site import Work

from .conftest import CAST, with_

SHOW = "00000000-0000-4000-8000-0000000000aa"
HANDS = {"lakeside": 3, "northwind": 0, "summit": 41, "westbrook": 7}


# Its messages.


class ShowSpec(Message):
    TAG: ClassVar[str] = "toy-spec"
    show_id: Identifier
    consortium: str
    caller: Slug
    participants: tuple[Participant, ...]
    key_epoch: Digest
    minimum_cohort: int

    def participant(self, organization: str) -> Participant | None:
        return next((p for p in self.participants if p.organization == organization), None)


class ShowApproval(Message):
    TAG: ClassVar[str] = "toy-approval"
    spec: Digest
    organization: Slug
    cost: Cost


class ShowContext(Message):
    TAG: ClassVar[str] = "toy-context"
    subject: Identifier
    spec: Digest
    number: int
    attempt: int
    key_epoch: Digest


class Hands(Message):
    TAG: ClassVar[str] = "toy-hands"
    context: Digest
    organization: Slug
    ciphertext: Bytes
    proof: Bytes


class ShowRelease(Message):
    TAG: ClassVar[str] = "toy-release"
    context: Digest
    cohort: Digest
    hands: Annotated[int, Field(ge=0)]


class ShowTranscript(Message):
    TAG: ClassVar[str] = "toy-transcript"
    spec: ShowSpec
    approvals: tuple[Signed[ShowApproval], ...]
    context: ShowContext
    given: tuple[Signed[Hands], ...]
    left: tuple[Message, ...] = ()
    receipts: tuple[Signed[ChargeReceipt], ...] = ()
    shares: tuple[Signed[DecryptionShare], ...] = ()
    release: ShowRelease | None = None

    @property
    def agreed(self) -> ShowSpec:
        return self.spec

    def cohort(self) -> Cohort:
        members = digests_of(self.given, self.left)
        return Cohort(context=self.context.digest(), members=members)

    decrypted = cohort


# Its agreement and its kind.


class ShowAgreement(Agreement[ShowSpec, ShowContext]):
    NOUN, RELEASE, UNKNOWN = "show of hands", "show", Reason.JOB_UNKNOWN
    releases, seconds = 1, 60

    @property
    def id(self) -> str:
        return self.spec.show_id

    @property
    def proposer(self) -> str:
        return self.spec.caller

    @property
    def cost(self) -> Cost:
        return Cost(dataset="hands", unit="organization", rho=0.5)

    def approval(self, organization: str) -> ShowApproval:
        return ShowApproval(spec=self.digest, organization=organization, cost=self.cost)

    def check(self) -> None:
        if self.spec.minimum_cohort < 3:
            raise InvalidInput("minimum_cohort: at least 3 are allowed")


class ShowOfHands(Kind):
    name, contribution, work = "show", "hand", Work.SUBMIT
    spec, agreement = ShowSpec, ShowAgreement
    gone, changed = Reason.CONTRIBUTION_EXPIRED, Reason.OWN_CONTRIBUTION_CHANGED

    def contribution_check(self, signed: Any, *, agreement: Any, context: Any) -> None:
        body, key = signed.body, agreement.key
        agreement.verify(signed)
        proofs.verify(
            key,
            [key.decode_ciphertext(decode_bytes(body.ciphertext))],
            proofs.PlaintextProof.decode(key, decode_bytes(body.proof)),
            context=bytes.fromhex(context.digest()),
            organization=body.organization,
        )

    def cohort(self, *, context: str, members: Any) -> Cohort:
        return Cohort(context=context, members=dict(members))

    def product(self, transcript: Any, *, agreement: Any) -> list[int]:
        key = agreement.key
        given = [decode_bytes(signed.body.ciphertext) for signed in transcript.given]
        return [key.multiply([key.decode_ciphertext(each) for each in given])]

    def release(
        self, transcript: Any, plaintexts: Any, *, agreement: Any, state: Any, total: Any
    ) -> tuple[Any, Any]:
        cohort = transcript.cohort()
        (hands,) = plaintexts
        return ShowRelease(context=cohort.context, cohort=cohort.digest(), hands=hands), None

    def release_compare(self, shown: Any, expected: Any) -> None:
        if shown != expected:
            raise InvalidInput("other hands than the shares combine to")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "KINDS", (*kinds.KINDS, ShowOfHands()))


class Coordinator:
    """Takes what ``arrival_check`` lets through, and does what ``advance`` says."""

    def __init__(self, consortium: Any) -> None:
        self.consortium = consortium
        self.identities = consortium.identities
        spec = ShowSpec(
            show_id=SHOW,
            consortium="test",
            caller="summit",
            participants=consortium.spec.participants,
            key_epoch=consortium.epoch.digest(),
            minimum_cohort=3,
        )
        self.agreement = agreement_of(spec, consortium.epoch)
        self.kind = kind_of(self.agreement)
        self.context = ShowContext(
            subject=SHOW, spec=spec.digest(), number=1, attempt=1, key_epoch=spec.key_epoch
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
        key, digest = self.agreement.key, self.context.digest()
        encryption = key.encrypt(count)
        proof = proofs.prove(
            key, [count], [encryption], context=bytes.fromhex(digest), organization=name
        )
        return self.identities[name].sign(
            Hands(
                context=digest,
                organization=name,
                ciphertext=encode_bytes(key.encode_ciphertext(encryption.ciphertext)),
                proof=encode_bytes(proof.encode(key)),
            )
        )

    def receipt(self, name: str) -> Signed[ChargeReceipt]:
        cohort = transcript_check(self.transcript(), agreement=self.agreement)
        body = ChargeReceipt(
            context=cohort.context,
            cohort=cohort.digest(),
            organization=name,
            cost=self.agreement.cost,
        )
        return self.identities[name].sign(body)

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
        transcript = self.transcript()
        release_check(transcript, agreement=self.agreement)
        assert transcript.release is not None
        body = Verdict(
            context=transcript.release.context,
            cohort=transcript.release.cohort,
            release=transcript.release.digest(),
            organization=name,
            agrees=True,
        )
        return self.identities[name].sign(body)

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
