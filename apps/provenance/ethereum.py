"""Finds, deploys and calls the AnchorRegistry contract on a chain.

Talks to the embedded chain and to a consortium's Besu alike: legacy transactions at gas price zero,
explicit gas and chain id, extra data of any length (EIP-225, QBFT). web3 takes a second to import,
so it is imported where it is used.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from apps.provenance.errors import ChainRefused, ChainUnavailable
from federated.errors import InvalidInput

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from eth_typing import ChecksumAddress, HexStr
    from web3 import Web3
    from web3.contract import Contract

ARTIFACT = Path(__file__).with_name("contracts") / "AnchorRegistry.json"
DEPLOY_GAS = 3_000_000
ANCHOR_GAS = 300_000
TIMEOUT_SECONDS = 5
RECEIPT_SECONDS = 20
CONFIRMATIONS = 2
LOG_BLOCKS = 5_000
NO_ROOT = bytes(32)
CHANGES = {
    "add-anchorer": 1,
    "remove-anchorer": 2,
    "add-member": 4,
    "remove-member": 8,
    "set-quorum": 16,
}


@dataclass(frozen=True, slots=True)
class Placed:
    """The place of a transaction on the chain."""

    tx_hash: str
    block_number: int
    block_hash: str


def checksum_address(text: str) -> ChecksumAddress:
    """An address as EIP-55 writes it; in capitals or small letters alone it has no checksum.

    Raises InvalidInput for no address, and for letters that are not its checksum.
    """
    from eth_utils.address import is_address, is_checksum_address, to_checksum_address

    if not is_address(text):
        raise InvalidInput(f"{text!r} is no address (0x and 40 hexadecimal digits)")
    if text[2:] not in (text[2:].lower(), text[2:].upper()) and not is_checksum_address(text):
        raise InvalidInput(f"{text} is mistyped: its capital letters are not its checksum (EIP-55)")
    return to_checksum_address(text)


class Gateway:
    """A chain's node at `url`, and the key that signs there. Methods raise `ChainUnavailable`."""

    def __init__(self, url: str, key: bytes) -> None:
        from eth_account import Account
        from web3 import HTTPProvider, Web3
        from web3.middleware import ExtraDataToPOAMiddleware

        provider = HTTPProvider(
            url,
            request_kwargs={"timeout": TIMEOUT_SECONDS},
            exception_retry_configuration=None,
        )
        self.web3: Web3 = Web3(provider)
        self.web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        self.account: LocalAccount = Account.from_key(key)

    @cached_property
    def chain_id(self) -> int:
        with _chain_errors():
            return self.web3.eth.chain_id

    @cached_property
    def genesis_hash(self) -> str:
        with _chain_errors():
            return self.web3.eth.get_block(0)["hash"].to_0x_hex()

    def registry_exists(self, address: str) -> bool:
        """Return whether the code at `address` is the AnchorRegistry that ships with the portal."""
        with _chain_errors():
            code = self.web3.eth.get_code(checksum_address(address))
            return bool(code.to_0x_hex() == _artifact()["bytecode_runtime"])

    def registry_deploy(self, members: Sequence[str] = (), quorum: int = 1) -> str:
        """The address of an AnchorRegistry that takes this account's anchors.

        ``quorum`` of ``members`` may change who anchors; without members this account alone may.
        The account's first transaction deploys it, so a deployment that nobody remembered is
        found again.
        """
        from eth_utils import keccak, to_checksum_address
        from rlp import encode

        first = keccak(encode([bytes.fromhex(self.account.address[2:]), 0]))[12:]
        address = to_checksum_address(first)
        if self.registry_exists(address):
            return str(address)
        with _chain_errors():
            artifact = _artifact()
            factory = self.web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
            own = self.account.address
            arguments = ([own], [checksum_address(one) for one in members] or [own], quorum)
            raw = self._signed(factory.constructor(*arguments), DEPLOY_GAS)[1]
            receipt = self._receipt(self.web3.eth.send_raw_transaction(raw))
        if receipt["status"] != 1:
            raise ChainRefused("the chain did not accept the AnchorRegistry contract")
        return str(receipt["contractAddress"])

    def registry_state(self, address: str) -> dict[str, Any]:
        """Quorum, members and whether this account is one of them."""
        calls = self._contract(address).functions
        with _chain_errors():
            return {
                "contract": address,
                "quorum": calls.quorum().call(),
                "members": calls.member_count().call(),
                "changes": calls.generation().call(),
                "account": self.account.address,
                "is_member": calls.is_member(self.account.address).call(),
                "is_anchorer": calls.authorized(self.account.address).call(),
            }

    def registry_vote(self, address: str, kind: int, subject: str, quorum: int) -> dict[str, int]:
        """Vote for a change of the present generation; the quorum and the votes that then wait.

        No votes wait once the change is made. Raises `ChainRefused` with the contract's reason.
        """
        from web3.exceptions import ContractLogicError

        calls = self._contract(address).functions
        with _chain_errors():
            call = calls.vote(kind, subject, quorum, calls.generation().call())
            try:
                call.call({"from": self.account.address})
            except ContractLogicError as exc:
                raise ChainRefused(str(exc.message)) from exc
            tx_hash, raw = self._signed(call, ANCHOR_GAS)
            self.web3.eth.send_raw_transaction(raw)
        self.wait(tx_hash)
        with _chain_errors():
            waiting = calls.votes_for(kind, subject, quorum).call()
            return {"quorum": calls.quorum().call(), "votes": waiting}

    def root_at(self, address: str, origin_hash: bytes, size: int) -> bytes | None:
        """The root anchored for a size, if any."""
        with _chain_errors():
            root = bytes(self._contract(address).functions.root_at(origin_hash, size).call())
        return None if root == NO_ROOT else root

    def latest(self, address: str, origin_hash: bytes) -> int:
        """The last anchored size; 0 for none."""
        with _chain_errors():
            return int(self._contract(address).functions.latest(origin_hash).call()[0])

    def find(self, address: str, origin_hash: bytes, size: int) -> Placed:
        """The transaction that anchored `size`, newest blocks first."""
        with _chain_errors():
            last: int = self.web3.eth.block_number
            while last >= 0:
                first = max(0, last - LOG_BLOCKS + 1)
                found = self._contract(address).events.Anchored.get_logs(
                    from_block=first,
                    to_block=last,
                    argument_filters={"origin_hash": origin_hash},
                )
                for entry in found:
                    if entry["args"]["size"] == size:
                        return Placed(
                            entry["transactionHash"].to_0x_hex(),
                            entry["blockNumber"],
                            entry["blockHash"].to_0x_hex(),
                        )
                last = first - 1
        raise ChainUnavailable(f"the chain's logs do not show the anchor of size {size}")

    def anchor_sign(
        self, address: str, origin_hash: bytes, size: int, root: bytes
    ) -> tuple[str, bytes]:
        """A signed anchor transaction: its hash and its bytes; nothing is sent."""
        call = self._contract(address).functions.anchor(origin_hash, size, root)
        with _chain_errors():
            return self._signed(call, ANCHOR_GAS)

    def is_waiting(self, tx_hash: str) -> bool:
        """Return whether the node still has the transaction in its pool."""
        from web3.exceptions import TransactionNotFound

        with _chain_errors():
            try:
                return (
                    self.web3.eth.get_transaction(cast("HexStr", tx_hash)).get("blockNumber")
                    is None
                )
            except TransactionNotFound:
                return False

    def send(self, raw: bytes) -> None:
        with _chain_errors():
            self.web3.eth.send_raw_transaction(raw)

    def wait(
        self, tx_hash: str, seen: Callable[[Placed, int], object] = lambda placed, n: None
    ) -> Placed:
        """Wait until the transaction's block and the one after it are on the chain.

        ``seen`` is told where it is and with how many confirmations, each time that changes. Raises
        `ChainRefused` if it failed there.
        """
        with _chain_errors():
            receipt = self._receipt(tx_hash)
            if receipt["status"] != 1:
                raise ChainRefused(f"the contract refused transaction {tx_hash}")
            placed = _placed(receipt)
            self._confirmed(placed.block_number, lambda n: seen(placed, n))
            # A fork may have moved it meanwhile.
            return _placed(self.web3.eth.get_transaction_receipt(cast("HexStr", tx_hash)))

    def is_canonical(self, block_number: int, block_hash: str) -> bool:
        """Return whether that block is still in the chain."""
        from web3.exceptions import BlockNotFound

        with _chain_errors():
            try:
                found = self.web3.eth.get_block(block_number)["hash"].to_0x_hex()
            except BlockNotFound:
                return False
        return str(found) == block_hash

    def _confirmed(self, block_number: int, seen: Callable[[int], object]) -> None:
        known, deadline = 0, time.monotonic() + RECEIPT_SECONDS
        while known < CONFIRMATIONS:
            found = self.web3.eth.block_number - block_number + 1
            if found > known:
                known = found
                seen(min(known, CONFIRMATIONS))
                continue
            if time.monotonic() > deadline:
                raise ChainUnavailable(
                    f"block {block_number} has fewer than {CONFIRMATIONS} confirmations"
                )
            time.sleep(0.1)

    def _contract(self, address: str) -> Contract:
        return self.web3.eth.contract(address=checksum_address(address), abi=_artifact()["abi"])

    def _signed(self, call: Any, gas: int) -> tuple[str, bytes]:
        fields = {
            "from": self.account.address,
            "nonce": self.web3.eth.get_transaction_count(self.account.address, "pending"),
            "gas": gas,
            "gasPrice": 0,
            "chainId": self.chain_id,
        }
        signed = self.account.sign_transaction(call.build_transaction(fields))
        return signed.hash.to_0x_hex(), bytes(signed.raw_transaction)

    def _receipt(self, tx_hash: Any) -> Any:
        return self.web3.eth.wait_for_transaction_receipt(
            tx_hash, timeout=RECEIPT_SECONDS, poll_latency=0.1
        )


def _placed(receipt: Any) -> Placed:
    return Placed(
        receipt["transactionHash"].to_0x_hex(),
        receipt["blockNumber"],
        receipt["blockHash"].to_0x_hex(),
    )


def _artifact() -> dict[str, Any]:
    artifact: dict[str, Any] = json.loads(ARTIFACT.read_text())
    return artifact


@contextmanager
def _chain_errors() -> Iterator[None]:
    """The many ways in which a node fails to answer, as one."""
    from requests import RequestException
    from web3.exceptions import Web3Exception

    try:
        yield
    except (RequestException, Web3Exception, ValueError, KeyError) as exc:
        raise ChainUnavailable(f"{type(exc).__name__}: {str(exc)[:300]}") from exc
