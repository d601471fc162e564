"""Decides when a node seals: at once in turn, late out of turn, once per window (EIP-225)."""

import json
import logging
import threading
import time
from pathlib import Path

from eth.abc import BlockHeaderAPI
from eth.constants import BLANK_ROOT_HASH
from eth_typing import Address
from eth_utils import decode_hex, encode_hex

from portal.chain import consensus
from portal.chain.node import Node

logger = logging.getLogger(__name__)

CONFIRMATIONS = 2
"""A transaction's own block and those after it, before anyone should build on it."""
OUT_OF_TURN_SECONDS = 1.0
VOTES = "votes.json"


class Sealer:
    """Seals when transactions or votes wait, and as many blocks more as confirm them."""

    def __init__(self, node: Node, state: Path) -> None:
        self.node, self.votes_path = node, state / VOTES
        self._since = (b"", 0.0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with self.node.changed:
            self.node.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except Exception:
                logger.exception("sealing failed; trying again in a second")
                self._stopping.wait(1)

    def _step(self) -> None:
        """Wait until something is to be sealed and it is this node's time; then seal it."""
        with self.node.changed:
            head = self.node.chain.get_canonical_head()
            pause = self._pause(head)
            if pause is None or pause > 0:
                # A vote is a file that appears; nobody notifies.
                self.node.changed.wait(1.0 if pause is None else min(pause, 1.0))
                return
            vote = self._vote()
            block = self.node.seal_block(empty=vote is not None or self._unconfirmed(), vote=vote)
        if block is not None:
            logger.info("sealed block %d (%s)", block.number, encode_hex(block.hash))

    def _pause(self, head: BlockHeaderAPI) -> float | None:
        """Seconds until this node should seal; None if it should not seal the next block."""
        if not (self.node.has_pending() or self._unconfirmed() or self._vote()):
            self._since = (b"", 0.0)
            return None
        if self._since[0] != head.hash:
            self._since = (head.hash, time.time())
        turns = consensus.turns_until(self.node.chain, self.node.address)
        if turns is None:
            return None
        # A block's time, in whole seconds, must be later than its parent's.
        earliest: float = head.timestamp + 1
        if turns:
            earliest = max(earliest, self._since[1]) + turns * OUT_OF_TURN_SECONDS
        return max(0.0, earliest - time.time())

    def _unconfirmed(self) -> bool:
        """Whether one of the last blocks holds a transaction that more blocks should follow."""
        header = self.node.chain.get_canonical_head()
        for _ in range(CONFIRMATIONS - 1):
            if header.transaction_root != BLANK_ROOT_HASH:
                return True
            if header.block_number == 0:
                return False
            header = self.node.chain.get_block_header_by_hash(header.parent_hash)
        return False

    def _vote(self) -> tuple[Address, bool] | None:
        """The first of the votes in the file that the signers do not meet yet."""
        if not self.votes_path.exists():
            return None
        chain = self.node.chain
        signers = consensus.signers_after(chain, chain.get_canonical_head())
        if self.node.address not in signers:
            return None
        for text, wanted in json.loads(self.votes_path.read_text()).items():
            if (decode_hex(text) in signers) != wanted and not self._has_voted(text, wanted):
                return Address(decode_hex(text)), wanted
        return None

    def _has_voted(self, text: str, wanted: bool) -> bool:
        chain = self.node.chain
        clique, _ = consensus.clique_of(chain)
        votes = clique.get_snapshot(chain.get_canonical_head()).votes
        mine = (vote for vote in votes if vote.signer == self.node.address)
        return any(vote.subject == decode_hex(text) for vote in mine)
