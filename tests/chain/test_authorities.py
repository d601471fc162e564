"""Three authorities in processes of their own, and a follower that replays what they seal."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import rlp
from eth.consensus.clique._utils import get_block_signer
from eth_utils import ValidationError, decode_hex, to_checksum_address

from portal.chain.keys import SIGNER, load_key, signer_address
from portal.chain.node import Node
from portal.chain.replay import replay
from portal.chain.sealer import VOTES
from portal.chain.sync import Follower
from tests.chain.nodes import NETWORK, ChainProcess, run_until
from tests.patience import patient
from tests.ports import free_port

ORIGIN, ROOT = b"\x11" * 32, b"\x22" * 32
COUNT = 3


class Network:
    """Three authorities that know each other, the first with an AnchorRegistry."""

    def __init__(self, folder: Path, artifact: dict[str, Any]) -> None:
        states = [folder / f"authority-{number}" for number in range(COUNT)]
        ports = [free_port() for _ in states]
        self.urls = [f"http://127.0.0.1:{port}" for port in ports]
        self.addresses = [signer_address(state) for state in states]
        self.genesis = [f"--authority={to_checksum_address(one)}" for one in self.addresses]
        self.nodes = [
            ChainProcess(
                state,
                port,
                options=[*self.genesis, *(f"--peer={u}" for u in self.urls if str(port) not in u)],
            )
            for state, port in zip(states, ports, strict=True)
        ]
        for node in self.nodes:
            node.ready()
        first = self.nodes[0]
        factory = first.web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
        own = first.account().address
        receipt = self.settled(first, first.send(factory.constructor([own], [own], 1)))
        self.contract = receipt["contractAddress"]
        self.abi = artifact["abi"]

    def registry(self, node: ChainProcess) -> Any:
        return node.web3.eth.contract(address=self.contract, abi=self.abi)

    def anchor(self, size: int, by: ChainProcess) -> bytes:
        """An anchor, signed with the first node's key and sent to any node."""
        call = self.registry(by).functions.anchor(ORIGIN, size, ROOT)
        account = self.nodes[0].account()
        nonce = by.web3.eth.get_transaction_count(account.address, "pending")
        fields = {"from": account.address, "nonce": nonce, "gas": 300_000, "gasPrice": 0}
        built = call.build_transaction({**fields, "chainId": by.web3.eth.chain_id})
        return by.web3.eth.send_raw_transaction(account.sign_transaction(built).raw_transaction)

    def settled(self, node: ChainProcess, tx: bytes) -> Any:
        """The transaction's receipt once another block stands on its block."""
        receipt = node.web3.eth.wait_for_transaction_receipt(
            tx, timeout=patient(60), poll_latency=0.05
        )
        assert receipt["status"] == 1
        run_until(lambda: node.web3.eth.block_number > receipt["blockNumber"], node)
        return node.web3.eth.get_transaction_receipt(tx)

    def heads(self) -> set[bytes]:
        alive = (node for node in self.nodes if node.alive())
        return {bytes(node.web3.eth.get_block("latest").hash) for node in alive}

    def holds(self, size: int) -> bool:
        alive = [node for node in self.nodes if node.alive()]
        roots = [self.registry(n).functions.root_at(ORIGIN, size).call() for n in alive]
        return len(self.heads()) == 1 and all(root == ROOT for root in roots)

    def sealers(self) -> list[str]:
        copy = replay(self.nodes[0].call, NETWORK)
        last = copy.get_canonical_head().block_number
        headers = [copy.get_canonical_block_header_by_number(n) for n in range(1, last + 1)]
        return [to_checksum_address(get_block_signer(header)) for header in headers]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    artifact = json.loads(
        (Path(__file__).parents[2] / "apps/provenance/contracts/AnchorRegistry.json").read_text()
    )
    made = Network(tmp_path_factory.mktemp("authorities"), artifact)
    yield made
    for node in made.nodes:
        node.kill()


@pytest.fixture
def agreed(network: Network) -> Network:
    """All run, and agree."""
    for node in network.nodes:
        if not node.alive():
            node.start()
            node.ready()
    run_until(lambda: len(network.heads()) == 1, network.nodes[0])
    return network


def test_they_seal_in_turn_what_any_of_them_was_sent(agreed: Network) -> None:
    for size, node in enumerate(agreed.nodes, start=1):
        agreed.settled(node, agreed.anchor(size, by=node))
        run_until(lambda at=size: agreed.holds(at), node)
    sealers = agreed.sealers()
    assert set(sealers) == {to_checksum_address(one) for one in agreed.addresses}
    assert all(one != after for one, after in pairwise(sealers))


def test_a_follower_replays_and_agrees(agreed: Network, tmp_path: Path) -> None:
    options = [*agreed.genesis, *(f"--peer={url}" for url in agreed.urls)]
    follower = ChainProcess(tmp_path / "follower", options=options).ready()
    try:
        agreed.settled(agreed.nodes[1], agreed.anchor(10, by=agreed.nodes[1]))
        head = agreed.nodes[0].web3.eth
        run_until(
            lambda: follower.web3.eth.get_block("latest").hash == head.get_block("latest").hash,
            follower,
        )
        assert agreed.registry(follower).functions.root_at(ORIGIN, 10).call() == ROOT
        assert follower.call("fsc_signers", []) == [
            to_checksum_address(one) for one in sorted(agreed.addresses)
        ]
    finally:
        follower.kill()


def test_two_of_three_go_on_and_the_third_catches_up(agreed: Network) -> None:
    lost, left = agreed.nodes[2], agreed.nodes[:2]
    lost.kill(signal.SIGKILL)
    for size in (20, 21):
        agreed.settled(left[0], agreed.anchor(size, by=left[0]))
    run_until(lambda: agreed.holds(21), left[0])
    lost.start()
    lost.ready()
    run_until(lambda: agreed.holds(21), lost)


def test_what_was_acknowledged_survives_kill_9_of_all(agreed: Network) -> None:
    first = agreed.nodes[0]
    tx = agreed.anchor(30, by=first)
    for node in agreed.nodes:
        node.kill(signal.SIGKILL)
    for node in agreed.nodes:
        node.start()
        node.ready()
    agreed.settled(first, tx)
    run_until(lambda: agreed.holds(30), first)


def test_a_vote_of_most_adds_an_authority(agreed: Network, tmp_path: Path) -> None:
    newcomer = tmp_path / "newcomer"
    address = to_checksum_address(signer_address(newcomer))
    options = [*agreed.genesis, *(f"--peer={url}" for url in agreed.urls)]
    process = ChainProcess(newcomer, options=options).ready()
    try:
        for node in agreed.nodes[:2]:
            (node.state / VOTES).write_text(json.dumps({address: True}))
        run_until(lambda: address in process.call("fsc_signers", []), process)
        assert len(agreed.nodes[2].call("fsc_signers", [])) in (COUNT, COUNT + 1)
        for node in agreed.nodes[:3]:
            (node.state / VOTES).write_text(json.dumps({address: False}))
        run_until(lambda: address not in process.call("fsc_signers", []), process)
    finally:
        process.kill()
        for node in agreed.nodes:
            (node.state / VOTES).unlink(missing_ok=True)


class TestAttacks:
    """An authority that cheats, at a node that follows it."""

    @pytest.fixture
    def honest(self, agreed: Network, tmp_path: Path) -> Iterator[Node]:
        node = Node(tmp_path / "honest", NETWORK, agreed.addresses)
        follower = Follower(node, agreed.urls[0])
        follower.step()
        follower.peer.close()
        assert node.chain.get_canonical_head().block_number > 0
        yield node
        node.stop()

    @pytest.fixture
    def last(self, agreed: Network, honest: Node) -> Any:
        """The newest block's sealer's key, and a block that it may not seal after it."""
        head = honest.chain.get_canonical_head()
        sealer = get_block_signer(head)
        position = agreed.addresses.index(sealer)
        return load_key(agreed.nodes[position].state / SIGNER)

    def forged(self, network: Network, node: Node, key: Any, **changes: Any) -> Any:
        from portal.chain import consensus

        at = node.chain.get_canonical_head().timestamp + 1
        # A block of the future would be refused for that.
        run_until(lambda: time.time() >= at, network.nodes[0])
        header = consensus.next_header(
            node.chain,
            key.public_key.to_canonical_address(),
            at,
        ).copy(**changes)
        vm = node.chain.get_vm(header)
        final = vm.finalize_block(vm.get_block()).block
        return final.copy(header=consensus.seal(final.header, key))

    def test_signing_twice_in_its_window(self, agreed: Network, honest: Node, last: Any) -> None:
        with pytest.raises(ValidationError, match="also signed"):
            honest.import_blocks([self.forged(agreed, honest, last)])

    def test_a_stranger(self, agreed: Network, honest: Node) -> None:
        with pytest.raises(ValidationError, match="not in"):
            honest.import_blocks([self.forged(agreed, honest, honest.signer)])

    def test_another_difficulty_than_its_turns(
        self, agreed: Network, honest: Node, last: Any
    ) -> None:
        address = last.public_key.to_canonical_address()
        other = next(n for n in agreed.nodes if signer_address(n.state) != address)
        key = load_key(other.state / SIGNER)
        right = self.forged(agreed, honest, key).header.difficulty
        wrong = {0, 1, 2, 3} - {right}
        assert len(wrong) == 3
        for difficulty in wrong:
            with pytest.raises(ValidationError, match=r"(?i)difficulty"):
                honest.import_blocks([self.forged(agreed, honest, key, difficulty=difficulty)])

    def test_a_bit_of_a_block(self, agreed: Network, honest: Node, tmp_path: Path) -> None:
        raw = decode_hex(agreed.nodes[0].call("debug_getRawBlock", ["0x1"]))
        fresh = Node(tmp_path / "fresh", NETWORK, agreed.addresses)
        try:
            block_class = fresh.chain.get_vm().get_block_class()
            for place in range(0, len(raw) * 8, 997):
                flipped = bytearray(raw)
                flipped[place // 8] ^= 1 << place % 8
                # RLP, signatures and rules have no common error.
                with pytest.raises(Exception):
                    fresh.import_blocks([rlp.decode(bytes(flipped), block_class)])
            assert fresh.chain.get_canonical_head().block_number == 0
            fresh.import_blocks([rlp.decode(raw, block_class)])
        finally:
            fresh.stop()

    def test_another_genesis(self, agreed: Network, tmp_path: Path) -> None:
        node = Node(tmp_path / "alone", NETWORK)
        follower = Follower(node, agreed.urls[0])
        try:
            with pytest.raises(ValidationError, match="another genesis"):
                follower.step()
        finally:
            follower.peer.close()
            node.stop()

    def test_a_peer_that_is_no_node(self, agreed: Network, tmp_path: Path) -> None:
        node = Node(tmp_path / "alone", NETWORK)
        follower = Follower(node, f"http://127.0.0.1:{free_port()}")
        try:
            with pytest.raises(httpx.HTTPError):
                follower.step()
        finally:
            follower.peer.close()
            node.stop()
