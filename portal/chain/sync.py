"""Follows other nodes: checks and executes their blocks, and takes their transactions.

A peer is not trusted: every block passes all rules before it counts, so a peer can at most be
silent. Each peer is polled; there is no gossip to configure.
"""

import logging
import threading
from collections.abc import Sequence
from typing import Any

import httpx
import rlp
from eth.abc import BlockAPI
from eth.exceptions import HeaderNotFound
from eth_typing import BlockNumber, Hash32
from eth_utils import ValidationError, decode_hex, encode_hex

from portal.chain.errors import RpcError
from portal.chain.node import Node

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
MISTRUST_SECONDS = 30.0
BATCH = 64
TIMEOUT_SECONDS = 5.0


class Peer:
    """Another node's JSON-RPC. Raises ValidationError for answers that make no sense."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False)

    def call(self, method: str, *parameters: Any) -> Any:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        answer = self._http.post(self.url, json=request).json()
        if not isinstance(answer, dict) or "result" not in answer:
            raise ValidationError(f"{method}: {str(answer)[:200]}")
        return answer["result"]

    def block(self, node: Node, at: str) -> BlockAPI:
        raw = decode_hex(self.call("debug_getRawBlock", at) or "0x")
        try:
            found: BlockAPI = rlp.decode(raw, node.chain.get_vm().get_block_class())
        except rlp.exceptions.RLPException as exc:
            raise ValidationError(f"block {at} is no block: {exc}") from exc
        return found

    def close(self) -> None:
        self._http.close()


class Follower:
    """A thread for one peer that keeps this node at the heavier of both chains."""

    def __init__(self, node: Node, url: str) -> None:
        self.node, self.peer = node, Peer(url)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow {url}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self.peer.close()

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = POLL_SECONDS
            try:
                self.step()
            except httpx.HTTPError as exc:
                logger.debug("%s does not answer: %s", self.peer.url, exc)
            except (ValidationError, ValueError, TypeError, KeyError) as exc:
                logger.warning("%s sent what breaks a rule: %s", self.peer.url, exc)
                pause = MISTRUST_SECONDS
            except Exception:
                logger.exception("following %s failed", self.peer.url)
                pause = MISTRUST_SECONDS

    def step(self) -> None:
        """Take the peer's head if it should be ours, and the transactions that wait with it."""
        head = self.peer.call("eth_getBlockByNumber", "latest", False)
        if self._better(int(head["totalDifficulty"], 16), decode_hex(head["hash"])):
            self._catch_up(head["hash"], int(head["number"], 16))
        for raw in self.peer.call("fsc_pool"):
            try:
                self.node.submit(decode_hex(raw))
            except RpcError as exc:
                logger.debug("a transaction of %s is of no use here: %s", self.peer.url, exc)

    def _better(self, score: int, hash_: bytes) -> bool:
        with self.node.lock:
            own = self.node.chain.get_canonical_head()
            own_score = self.node.chain.get_score(own.hash)
        return hash_ != own.hash and (score, own.hash) > (own_score, hash_)

    def _catch_up(self, hash_: str, number: int) -> None:
        """Import from the last common block on, oldest first, some at a time."""
        start = self._common(number) + 1
        for first in range(start, number + 1, BATCH):
            if self._stopping.is_set():
                return
            last = min(first + BATCH, number + 1)
            self._import([self.peer.block(self.node, hex(at)) for at in range(first, last)])
        if not self._has(Hash32(decode_hex(hash_))):
            # The peer's chain moved on meanwhile: the next step sees its new head.
            logger.info("%s left block %s", self.peer.url, hash_)

    def _common(self, number: int) -> int:
        """The newest block of the peer's chain that this node has, by bisection.

        Whoever has a block has its ancestors.
        """
        with self.node.lock:
            low, high = 0, min(number, self.node.chain.get_canonical_head().block_number + 1)
        if self._hash_at(0) != encode_hex(self._own(0)):
            raise ValidationError("its chain has another genesis")
        while low < high:
            middle = (low + high + 1) // 2
            if self._has(Hash32(decode_hex(self._hash_at(middle)))):
                low = middle
            else:
                high = middle - 1
        return low

    def _hash_at(self, number: int) -> str:
        return str(self.peer.call("eth_getBlockByNumber", hex(number), False)["hash"])

    def _own(self, number: int) -> bytes:
        with self.node.lock:
            header = self.node.chain.get_canonical_block_header_by_number(BlockNumber(number))
            return bytes(header.hash)

    def _has(self, hash_: Hash32) -> bool:
        with self.node.lock:
            try:
                self.node.chain.get_block_header_by_hash(hash_)
            except HeaderNotFound:
                return False
        return True

    def _import(self, blocks: Sequence[BlockAPI]) -> None:
        self.node.import_blocks([block for block in blocks if not self._has(block.hash)])
