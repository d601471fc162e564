"""AnchorRegistry against a model of it: who may anchor, and how members change that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from eth.db.atomic import AtomicDB
from eth.vm.spoof import SpoofTransaction
from eth_abi import decode, encode
from eth_utils import keccak
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from portal.chain.consensus import open_chain
from tests.chain.conftest import ARTIFACT

ADD_ANCHORER, REMOVE_ANCHORER, ADD_MEMBER, REMOVE_MEMBER, SET_QUORUM = (1, 2, 4, 8, 16)
KINDS = (ADD_ANCHORER, REMOVE_ANCHORER, ADD_MEMBER, REMOVE_MEMBER, SET_QUORUM)
PEOPLE = tuple(bytes([number]) * 20 for number in range(1, 8))
NOBODY = bytes(20)
VOTE = "vote(uint256,address,uint256,uint256)"
WITHDRAW = "withdraw(uint256,address,uint256)"
ANCHOR = "anchor(bytes32,uint64,bytes32)"


class Refused(Exception):
    """A call that the contract reverted, with its reason."""


class Contract:
    """An AnchorRegistry in an EVM of its own; senders need no keys here."""

    def __init__(self, anchorers: list[bytes], members: list[bytes], quorum: int) -> None:
        self.chain = open_chain(AtomicDB(), "test", [PEOPLE[0]])
        self.state = self.chain.get_vm().state
        artifact = json.loads(ARTIFACT.read_text())
        arguments = encode(["address[]", "address[]", "uint256"], [anchorers, members, quorum])
        code = bytes.fromhex(artifact["bytecode"][2:]) + arguments
        self.address = b""
        computation = self._run(PEOPLE[0], b"", code)
        self.address = computation.msg.storage_address

    def send(self, sender: bytes, signature: str, *arguments: Any) -> bytes:
        types = signature[signature.index("(") + 1 : -1]
        listed = types.split(",") if types else []
        data = keccak(text=signature)[:4] + encode(listed, arguments)
        return bytes(self._run(sender, self.address, data).output)

    def read(self, signature: str, *arguments: Any) -> int:
        return int.from_bytes(self.send(PEOPLE[0], signature, *arguments), "big")

    def _run(self, sender: bytes, to: bytes, data: bytes) -> Any:
        unsigned = self.chain.create_unsigned_transaction(
            nonce=self.state.get_nonce(sender),
            gas_price=0,
            gas=3_000_000,
            to=to,
            value=0,
            data=data,
        )
        computation = self.state.apply_transaction(SpoofTransaction(unsigned, from_=sender))
        if computation.is_error:
            output = bytes(computation.output)
            raise Refused(decode(["string"], output[4:])[0] if output else "no reason")
        return computation


@dataclass
class Model:
    anchorers: set[bytes]
    members: set[bytes]
    quorum: int
    generation: int = 0
    votes: dict[tuple[int, bytes, int], set[bytes]] = field(default_factory=dict)
    size: int = 0

    def objection(self, kind: int, subject: bytes, quorum: int) -> str | None:
        if kind == SET_QUORUM:
            if subject != NOBODY:
                return "no subject here"
            if not 0 < quorum <= len(self.members):
                return "quorum must be 1 to the members"
            return "nothing changes" if quorum == self.quorum else None
        if subject == NOBODY:
            return "empty address"
        if quorum:
            return "no quorum here"
        group = self.anchorers if kind in (ADD_ANCHORER, REMOVE_ANCHORER) else self.members
        if (subject in group) == (kind in (ADD_ANCHORER, ADD_MEMBER)):
            return "nothing changes"
        if kind == REMOVE_MEMBER and len(self.members) <= self.quorum:
            return "quorum would be above the members"
        return None

    def vote(
        self, sender: bytes, kind: int, subject: bytes, quorum: int, generation: int
    ) -> str | None:
        """What the contract must object, or None after the vote is counted."""
        if sender not in self.members:
            return "not a member"
        if generation != self.generation:
            return "another generation"
        objection = self.objection(kind, subject, quorum)
        if objection is not None:
            return objection
        given = self.votes.setdefault((kind, subject, quorum), set())
        if sender in given:
            return "voted already"
        given.add(sender)
        if len(given) >= self.quorum:
            self.change(kind, subject, quorum)
        return None

    def change(self, kind: int, subject: bytes, quorum: int) -> None:
        match kind:
            case 1:
                self.anchorers.add(subject)
            case 2:
                self.anchorers.remove(subject)
            case 4:
                self.members.add(subject)
            case 8:
                self.members.remove(subject)
            case 16:
                self.quorum = quorum
        self.generation += 1
        self.votes.clear()


class Votes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        members = list(PEOPLE[:4])
        self.contract = Contract([PEOPLE[0]], members, 2)
        self.model = Model({PEOPLE[0]}, set(members), 2)
        self.sizes: Iterator[int] = count(1)

    @rule(
        sender=st.sampled_from(PEOPLE),
        kind=st.sampled_from(KINDS),
        subject=st.sampled_from((*PEOPLE, NOBODY)),
        quorum=st.integers(0, 6),
        behind=st.sampled_from((0, 0, 0, 0, 1)),
        sensible=st.booleans(),
    )
    def vote(
        self, sender: bytes, kind: int, subject: bytes, quorum: int, behind: int, sensible: bool
    ) -> None:
        if sensible:
            # Few random votes agree; these do, so that changes come about.
            kind = ADD_ANCHORER if len(self.model.anchorers) < 3 else REMOVE_MEMBER
            subject, quorum = PEOPLE[len(self.model.anchorers) % 4], 0
        generation = self.model.generation + behind
        expected = self.model.vote(sender, kind, subject, quorum, generation)
        self.compare(expected, sender, VOTE, kind, subject, quorum, generation)

    @rule(sender=st.sampled_from(PEOPLE), kind=st.sampled_from(KINDS), to=st.sampled_from(PEOPLE))
    def withdraw(self, sender: bytes, kind: int, to: bytes) -> None:
        given = self.model.votes.get((kind, to, 0), set())
        expected = None if sender in given else "no vote"
        given.discard(sender)
        self.compare(expected, sender, WITHDRAW, kind, to, 0)

    @rule(
        sender=st.sampled_from(PEOPLE), grow=st.booleans(), root=st.binary(min_size=32, max_size=32)
    )
    def anchor(self, sender: bytes, grow: bool, root: bytes) -> None:
        size = self.model.size + (1 if grow else 0)
        expected = None
        if sender not in self.model.anchorers:
            expected = "not an anchorer"
        elif not grow:
            expected = "size must grow"
        elif root == bytes(32):
            expected = "empty root"
        else:
            self.model.size = size
        self.compare(expected, sender, ANCHOR, b"\x01" * 32, size, root)

    def compare(self, expected: str | None, sender: bytes, signature: str, *arguments: Any) -> None:
        try:
            self.contract.send(sender, signature, *arguments)
        except Refused as refused:
            assert str(refused) == expected
        else:
            assert expected is None

    @invariant()
    def same(self) -> None:
        contract, model = self.contract, self.model
        assert contract.read("quorum()") == model.quorum
        assert contract.read("member_count()") == len(model.members)
        assert contract.read("generation()") == model.generation
        assert 0 < model.quorum <= len(model.members)
        for person in PEOPLE:
            assert contract.read("authorized(address)", person) == (person in model.anchorers)
            assert contract.read("is_member(address)", person) == (person in model.members)


Votes.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_votes = Votes.TestCase


def test_two_of_three_replace_an_anchorer() -> None:
    first, second, third, newcomer = PEOPLE[:4]
    contract = Contract([first], [first, second, third], 2)
    contract.send(first, VOTE, ADD_ANCHORER, newcomer, 0, 0)
    assert contract.read("votes_for(uint256,address,uint256)", ADD_ANCHORER, newcomer, 0) == 1
    assert not contract.read("authorized(address)", newcomer)
    contract.send(third, VOTE, ADD_ANCHORER, newcomer, 0, 0)
    assert contract.read("authorized(address)", newcomer)
    with pytest.raises(Refused, match="another generation"):
        contract.send(second, VOTE, REMOVE_ANCHORER, first, 0, 0)
    for member in (second, third):
        contract.send(member, VOTE, REMOVE_ANCHORER, first, 0, 1)
    with pytest.raises(Refused, match="not an anchorer"):
        contract.send(first, ANCHOR, b"\x01" * 32, 1, b"\x02" * 32)
    contract.send(newcomer, ANCHOR, b"\x01" * 32, 1, b"\x02" * 32)


def test_a_change_drops_the_votes_that_wait() -> None:
    first, second, third = PEOPLE[:3]
    contract = Contract([first], [first, second, third], 2)
    contract.send(first, VOTE, REMOVE_MEMBER, third, 0, 0)
    for member in (first, second):
        contract.send(member, VOTE, ADD_ANCHORER, second, 0, 0)
    assert contract.read("votes_for(uint256,address,uint256)", REMOVE_MEMBER, third, 0) == 0
    contract.send(second, VOTE, REMOVE_MEMBER, third, 0, 1)
    assert contract.read("is_member(address)", third)


@pytest.mark.parametrize(
    ("anchorers", "members", "quorum", "reason"),
    [
        ([], [PEOPLE[0]], 1, "no anchorer"),
        ([PEOPLE[0]], [PEOPLE[0]], 2, "quorum must be 1 to the members"),
        ([PEOPLE[0]], [], 0, "quorum must be 1 to the members"),
        ([PEOPLE[0]], [PEOPLE[0], PEOPLE[0]], 1, "member twice"),
        ([PEOPLE[0]], [NOBODY], 1, "empty address"),
    ],
)
def test_an_impossible_registry_is_not_made(
    anchorers: list[bytes], members: list[bytes], quorum: int, reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        Contract(anchorers, members, quorum)


def test_a_kind_that_is_two_kinds_is_no_change() -> None:
    contract = Contract([PEOPLE[0]], [PEOPLE[0]], 1)
    with pytest.raises(Refused, match="unknown change"):
        contract.send(PEOPLE[0], VOTE, ADD_ANCHORER | ADD_MEMBER, PEOPLE[1], 0, 0)
