"""The node: keys, pool, blocks. `sealer` seals, `sync` follows other nodes, `rpc` answers."""

import logging
import os
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from eth.abc import BlockAPI, ReceiptAPI, SignedTransactionAPI
from eth.chains.base import Chain
from eth_typing import Address, BlockNumber, Hash32
from eth_utils import ValidationError, encode_hex

from portal.chain import consensus
from portal.chain.errors import RpcError, StateMismatch
from portal.chain.keys import ANCHORER, SIGNER, address_of, load_key
from portal.chain.store import Store, lock_state

logger = logging.getLogger(__name__)

# Above half of the limit the base fee would start to grow from zero.
BLOCK_GAS = consensus.GAS_LIMIT // 2
POOL_LIMIT = 1000


class Node:
    """A chain in a state directory. Every method is safe to call from any thread."""

    def __init__(
        self, state: Path, network: str, authorities: Collection[Address] | None = None
    ) -> None:
        """``authorities`` are the first signers' addresses, by default this node's alone.

        A node that is none of them, and was not voted in later, follows. Raises `StateInUse` or
        `StateMismatch`.
        """
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state_lock = lock_state(state)
        self.network = network
        self.signer = load_key(state / SIGNER)
        self.address = address_of(self.signer)
        load_key(state / ANCHORER)  # made here; the coordinator signs anchors with it
        self.authorities = tuple(sorted(authorities or {self.address}))
        self._store = Store(state / "chain.sqlite3")
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        """Notified at every new head and every new transaction in the pool."""
        self.chain = self._open()

    def stop(self) -> None:
        with self.lock:
            self._store.close()
        os.close(self._state_lock)

    def pending(self) -> list[SignedTransactionAPI]:
        with self.lock:
            return [self.decode(raw) for raw in self._store.pool()]

    def has_pending(self) -> bool:
        with self.lock:
            return self._store.pool_size() > 0

    def pool(self) -> list[bytes]:
        """The waiting transactions, as raw bytes, first come first."""
        with self.lock:
            return self._store.pool()

    def decode(self, raw: bytes) -> SignedTransactionAPI:
        """Raises `RpcError` for bytes that are no signed transaction."""
        try:
            return self.chain.get_vm().get_transaction_builder().decode(raw)
        except Exception as exc:
            # The RLP and typed-transaction decoders have no common error.
            raise RpcError(RpcError.PARAMS, f"not a signed transaction: {exc}") from exc

    def submit(self, raw: bytes) -> bytes:
        """Take a transaction: on disk when this returns its hash. Sending it again is harmless."""
        transaction = self.decode(raw)
        with self.changed:
            if self._known(transaction.hash):
                return transaction.hash
            self._check(transaction)
            with self._store.transaction():
                self._store.pool_add(transaction.hash, raw)
            self.changed.notify_all()
        return transaction.hash

    def next_nonce(self, address: Address) -> int:
        """The account's nonce after all that waits."""
        with self.lock:
            nonce = self.chain.get_vm().state.get_nonce(address)
            return nonce + sum(1 for waiting in self.pending() if waiting.sender == address)

    def receipts(self, block: BlockAPI) -> tuple[ReceiptAPI, ...]:
        builder = self.chain.get_vm(block.header).get_receipt_builder()
        return tuple(self.chain.chaindb.get_receipts(block.header, builder))

    def import_blocks(self, blocks: Sequence[BlockAPI]) -> None:
        """Check and store blocks of another node, each after its parent.

        What a fork took out of the canonical chain waits in the pool again. Raises eth_utils'
        ValidationError for a block that breaks a rule; those before it are kept.
        """
        for block in blocks:
            with self.changed:
                try:
                    with self._store.transaction():
                        result = self.chain.import_block(block)
                        for old in result.old_canonical_blocks:
                            for transaction in old.transactions:
                                self._store.pool_add(transaction.hash, transaction.encode())
                        for new in result.new_canonical_blocks:
                            for transaction in new.transactions:
                                self._store.pool_remove(transaction.hash)
                except BaseException:
                    # py-evm caches what the rolled-back transaction wrote.
                    self.chain = self._open()
                    raise
                self.changed.notify_all()

    def seal_block(
        self, *, empty: bool = False, vote: tuple[Address, bool] | None = None
    ) -> BlockAPI | None:
        """Put what waits into a block, seal it and store it.

        None if nothing could be included and the block may not be ``empty``.
        """
        with self.changed:
            waiting = self.pending()
            try:
                with self._store.transaction():
                    sealed = self._build(waiting, empty=empty, vote=vote)
            except BaseException:
                self.chain = self._open()
                raise
            self.changed.notify_all()
            return sealed

    def _build(
        self,
        waiting: list[SignedTransactionAPI],
        *,
        empty: bool,
        vote: tuple[Address, bool] | None,
    ) -> BlockAPI | None:
        header = consensus.next_header(self.chain, self.address, int(time.time()), vote)
        vm = self.chain.get_vm(header)
        included, receipts, gas = [], [], 0
        for transaction in waiting:
            if gas + transaction.gas > BLOCK_GAS:
                break
            try:
                receipt, _ = vm.apply_transaction(header, transaction)
            except ValidationError as exc:
                logger.warning("dropped transaction %s: %s", encode_hex(transaction.hash), exc)
                self._store.pool_remove(transaction.hash)
                continue
            header = vm.add_receipt_to_header(header, receipt)
            included.append(transaction)
            receipts.append(receipt)
            gas += transaction.gas
        if not included and not empty:
            return None
        draft = vm.set_block_transactions_and_withdrawals(
            vm.get_block(), header, included, receipts
        )
        final = vm.finalize_block(draft).block
        sealed = final.copy(header=consensus.seal(final.header, self.signer))
        self.chain.import_block(sealed)
        for transaction in included:
            self._store.pool_remove(transaction.hash)
        return sealed

    def _open(self) -> Chain:
        with self._store.transaction():
            chain = consensus.open_chain(self._store, self.network, self.authorities)
        first = chain.get_canonical_block_header_by_number(BlockNumber(0))
        if first.extra_data != consensus.genesis(self.network, self.authorities)["extra_data"]:
            raise StateMismatch(
                f"the state directory holds the chain of another network or other authorities than "
                f"{self.network!r}: give its network's name and authorities, or another directory"
            )
        return chain

    def _known(self, hash_: Hash32) -> bool:
        if any(waiting.hash == hash_ for waiting in self.pending()):
            return True
        try:
            self.chain.get_canonical_transaction_index(hash_)
        except Exception as exc:
            if type(exc).__name__ != "TransactionNotFound":
                raise
            return False
        return True

    def _check(self, transaction: SignedTransactionAPI) -> None:
        """Refuse what could not go into the next block, or would block what waits behind it."""
        try:
            transaction.validate()
            sender = transaction.sender
        except Exception as exc:
            raise RpcError(RpcError.REJECTED, f"invalid signature: {exc}") from exc
        if transaction.chain_id != self.chain.chain_id:
            raise RpcError(
                RpcError.REJECTED,
                f"wrong chain id {transaction.chain_id}, this is {self.chain.chain_id}",
            )
        if transaction.gas > BLOCK_GAS or transaction.gas < transaction.intrinsic_gas:
            raise RpcError(
                RpcError.REJECTED,
                f"gas must be from {transaction.intrinsic_gas} to {BLOCK_GAS}",
            )
        cost = transaction.value + transaction.gas * transaction.max_fee_per_gas
        if cost > self.chain.get_vm().state.get_balance(sender):
            raise RpcError(RpcError.REJECTED, "insufficient funds: send value 0 at gas price 0")
        expected = self.next_nonce(sender)
        if transaction.nonce != expected:
            low = transaction.nonce < expected
            raise RpcError(
                RpcError.REJECTED,
                f"nonce too {'low' if low else 'high'}: next nonce {expected}, "
                f"tx nonce {transaction.nonce}",
            )
        if len(self.pending()) >= POOL_LIMIT:
            raise RpcError(RpcError.REJECTED, f"{POOL_LIMIT} transactions wait already; try again")
