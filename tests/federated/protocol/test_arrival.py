"""What is taken of a message, for jobs and campaigns alike, and what each refusal is called."""

from __future__ import annotations

from typing import Any

import pytest

from federated.errors import Forbidden, InvalidInput, ProofInvalid, SignatureInvalid
from federated.protocol.arrival import (
    AlreadySent,
    CampaignClosed,
    ChargeMismatch,
    Closed,
    CohortMismatch,
    ContextMismatch,
    Held,
    arrival_check,
    refusal_check,
    work_due,
)
from federated.protocol.attempt import State
from federated.protocol.kinds import kind_of
from federated.protocol.release import release_make
from federated.wire.round import Reason, Refusal, Verdict
from federated.wire.site import Work

from .campaign_world import make_campaign
from .conftest import CAST, with_


class Side:
    """One attempt of a job or run of a campaign, and every message of it."""

    def __init__(self, world: Any, transcript: Any) -> None:
        self.world, self.transcript = world, transcript
        self.identities = getattr(world, "consortium", world).identities
        self.kind = kind_of(world.agreement)
        rows = {
            self.kind.contribution: getattr(transcript, f"{self.kind.contribution}s"),
            "receipt": transcript.receipts,
            "share": transcript.shares,
        }
        if self.kind.noising:
            rows["noise"] = transcript.noise
        self.messages = {m: {s.body.organization: s for s in many} for m, many in rows.items()}
        self.messages["verdict"] = {name: self.verdict(name) for name in CAST}

    @property
    def decrypted(self) -> Any:
        return self.transcript.decrypted()

    def verdict(self, name: str, **changes: Any) -> Any:
        body = Verdict(
            context=self.transcript.context.digest(),
            cohort=self.decrypted.digest(),
            release=self.transcript.release.digest(),
            organization=name,
            agrees=True,
        )
        return self.identities[name].sign(with_(body, **changes))

    def held(self, state: State, **changes: Any) -> Held:
        body = {
            "agreement": self.world.agreement,
            "context": self.transcript.context,
            "state": state,
            "approved": CAST,
            "cohort": None if state is State.COLLECTING else self.transcript.cohort(),
            "noised": self.transcript.decrypted() if self.kind.noising else None,
            "release": self.transcript.release,
        }
        return Held(**{**body, **changes})

    def check(
        self, message: str, signed: Any, *, before: str | None = None, **changes: Any
    ) -> bool:
        state = changes.pop("state", self.kind.taken[message])
        sender = changes.pop("sender", signed.body.organization)
        return arrival_check(
            self.held(state, **changes),
            message,
            signed,
            sender=sender,
            before=before,
            product=lambda: self.kind.product(self.transcript, agreement=self.world.agreement),
        )

    def resigned(self, signed: Any, **changes: Any) -> Any:
        return self.identities[signed.body.organization].sign(with_(signed.body, **changes))


@pytest.fixture(scope="module")
def sides(consortium):
    transcript = consortium.transcript()
    transcript = with_(
        transcript,
        receipts=tuple(consortium.receipt(name, transcript) for name in CAST),
        shares=tuple(consortium.share(name, transcript) for name in CAST[:3]),
    )
    release, _ = release_make(transcript, agreement=consortium.agreement, state=consortium.state)
    campaign = make_campaign(consortium)
    return [
        Side(consortium, with_(transcript, release=release)),
        Side(campaign, campaign.released()),
    ]


def each(sides):
    """Every message of both sides, with one sender's."""
    for side in sides:
        for message, rows in side.messages.items():
            yield side, message, rows["northwind"]


def test_what_is_right_is_taken_once_and_the_same_bytes_again_in_any_state(sides):
    for side, message, signed in each(sides):
        assert side.check(message, signed) is True
        for state in State:
            assert side.check(message, signed, before=signed.digest(), state=state) is False


def test_another_s_certificate_comes_first(sides):
    for side, message, signed in each(sides):
        with pytest.raises(Forbidden, match="northwind's; this certificate is summit's"):
            side.check(message, signed, sender="summit", before="0" * 64, state=State.ABANDONED)


def test_other_bytes_than_before_come_before_the_state(sides):
    for side, message, signed in each(sides):
        with pytest.raises(AlreadySent, match=f"Another {message} of northwind"):
            side.check(message, signed, before="0" * 64, state=State.ABANDONED)


def test_each_message_is_taken_in_its_state_alone(sides):
    for side, message, signed in each(sides):
        for state in set(State) - {side.kind.taken[message]}:
            error = CampaignClosed if side.kind.noising else Closed
            with pytest.raises(error) as caught:
                side.check(message, side.resigned(signed, context="0" * 64), state=state)
            assert caught.value.code == ("campaign_closed" if side.kind.noising else "closed")


def test_another_attempt_s_context_comes_before_the_cohort(sides):
    for side, message, signed in each(sides):
        changes = {"context": "0" * 64}
        if message != side.kind.contribution:
            changes["cohort"] = "0" * 64
        with pytest.raises(ContextMismatch):
            side.check(message, side.resigned(signed, **changes))


def test_another_cohort_comes_before_the_signature(sides):
    for side, message, signed in each(sides):
        if message == side.kind.contribution:
            continue
        unsigned = with_(signed, body=with_(signed.body, cohort="0" * 64))
        with pytest.raises(CohortMismatch):
            side.check(message, unsigned)


def test_a_signature_of_another_message_is_refused(sides):
    for side, message, signed in each(sides):
        with pytest.raises(SignatureInvalid):
            side.check(message, with_(signed, signature=signed.signature[:-4] + "AAAA"))


def test_a_share_of_another_cohort_s_proof_is_refused(sides):
    for side in sides:
        mine, other = (side.messages["share"][name] for name in ("northwind", "lakeside"))
        wrong = side.resigned(mine, partials=other.body.partials)
        with pytest.raises(ProofInvalid):
            side.check("share", wrong)


def test_a_receipt_of_another_cost_or_of_no_member(sides):
    for side in sides:
        signed = side.messages["receipt"]["northwind"]
        cheap = with_(signed.body.cost, rho=signed.body.cost.rho / 2)
        with pytest.raises(ChargeMismatch):
            side.check("receipt", side.resigned(signed, cost=cheap))
        members = {n: d for n, d in side.transcript.cohort().members.items() if n != "northwind"}
        fewer = with_(side.transcript.cohort(), members=members)
        there = side.resigned(signed, cohort=fewer.digest())
        with pytest.raises(CohortMismatch, match="northwind is not in the cohort"):
            side.check("receipt", there, cohort=fewer)


def test_who_did_not_approve_neither_contributes_nor_serves(sides):
    others = tuple(name for name in CAST if name != "northwind")
    for side, message, signed in each(sides):
        if message in ("receipt", "verdict"):
            continue
        with pytest.raises(Forbidden):
            side.check(message, signed, approved=others)


def test_a_campaign_is_judged_by_its_members_and_a_job_by_all_that_approved(sides):
    for side in sides:
        members = {n: d for n, d in side.transcript.cohort().members.items() if n != "summit"}
        cohort = with_(side.transcript.cohort(), members=members)
        disagrees = side.verdict("summit", agrees=False, detail="another sum")
        if side.kind.name == "training":
            assert side.check("verdict", disagrees, cohort=cohort)
        else:
            with pytest.raises(Forbidden, match="not asked to judge"):
                side.check("verdict", disagrees, cohort=cohort)


def test_who_agrees_names_the_release(sides):
    for side in sides:
        with pytest.raises(InvalidInput, match="agrees with 0000"):
            side.check("verdict", side.verdict("summit", release="0" * 64))
        assert side.check("verdict", side.verdict("summit", release="0" * 64, agrees=False))


def test_a_refusal_is_kept_and_counts_where_it_names_this_attempt_and_its_cohort(sides):
    for side in sides:
        held = side.held(State.DECRYPTING)

        def refusal(side: Side = side, **changes: Any) -> Any:
            body = Refusal(
                context=side.transcript.context.digest(),
                cohort=side.decrypted.digest(),
                organization="summit",
                reason=Reason.PROOF_INVALID,
                detail="",
            )
            return side.identities["summit"].sign(with_(body, **changes))

        assert refusal_check(held, refusal(), sender="summit") is True
        first = side.transcript.cohort().digest()
        assert refusal_check(held, refusal(cohort=first), sender="summit") is True
        for change in ({"context": "0" * 64}, {"cohort": "0" * 64}):
            assert refusal_check(held, refusal(**change), sender="summit") is False
        with pytest.raises(Forbidden):
            refusal_check(held, refusal(), sender="lakeside")


def test_what_an_attempt_asks_for_follows_its_state(sides):
    wanted = {
        "training": [Work.TRAIN, Work.CHARGE, Work.DECRYPT, Work.VERIFY],
        "benchmark": [Work.SUBMIT, Work.CHARGE, Work.NOISE, Work.DECRYPT, Work.VERIFY],
    }
    for side in sides:
        asked = [
            work_due(side.held(state), "summit", sent=(), asked=lambda: CAST)
            for state in side.kind.taken.values()
        ]
        assert asked == wanted[side.kind.name]
        for message, state in side.kind.taken.items():
            held = side.held(state)
            assert work_due(held, "summit", sent=(message,), asked=lambda: CAST) is None
            refused = work_due(held, "summit", sent=("refusal",), asked=lambda: CAST)
            silent = message in ("receipt", "noise", "share")
            assert (refused is None) is silent
        assert work_due(side.held(State.DECRYPTING), "summit", sent=(), asked=lambda: ()) is None
        assert work_due(side.held(State.ABANDONED), "summit", sent=(), asked=lambda: CAST) is None
