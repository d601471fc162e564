"""The node: keys, pool, sealing on demand. `rpc` turns it into JSON-RPC."""

import logging
import os
import secrets
import threading
import time
from pathlib import Path

from eth.abc import BlockAPI, ReceiptAPI, SignedTransactionAPI
from eth.chains.base import Chain
from eth_keys import keys
from eth_keys.datatypes import PrivateKey
from eth_utils import ValidationError, encode_hex

from portal.chain import consensus
from portal.chain.errors import RpcError, StateMismatch
from portal.chain.store import Store, lock_state

logger = logging.getLogger(__name__)

# Above half of the limit the base fee would start to grow from zero.
BLOCK_GAS = consensus.GAS_LIMIT // 2
POOL_LIMIT = 1000


class Node:
    """A chain in a state directory. Every method is safe to call from any thread."""

    def __init__(self, state: Path, network: str) -> None:
        """Raises `StateInUse` or `StateMismatch`."""
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state_lock = lock_state(state)
        self.network = network
        self.signer = load_key(state / "signer.key")
        self.anchorer = load_key(state / "anchorer.key")
        self._store = Store(state / "chain.sqlite3")
        self.lock = threading.RLock()
        self._waiting = threading.Condition(self.lock)
        self._stopping = threading.Event()
        self._sealer = threading.Thread(target=self._seal_forever, name="sealer", daemon=True)
        self.chain = self._open()

    def start(self) -> None:
        self._sealer.start()

    def stop(self) -> None:
        self._stopping.set()
        with self._waiting:
            self._waiting.notify_all()
        if self._sealer.is_alive():
            self._sealer.join()
        with self.lock:
            self._store.close()
        os.close(self._state_lock)

    def pending(self) -> list[SignedTransactionAPI]:
        with self.lock:
            return [self.decode(raw) for raw in self._store.pool()]

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
        with self._waiting:
            if self._known(transaction.hash):
                return transaction.hash
            self._check(transaction)
            with self._store.transaction():
                self._store.pool_add(transaction.hash, raw)
            self._waiting.notify_all()
        return transaction.hash

    def next_nonce(self, address: bytes) -> int:
        """The account's nonce after all that waits."""
        with self.lock:
            nonce = self.chain.get_vm().state.get_nonce(address)
            return nonce + sum(1 for waiting in self.pending() if waiting.sender == address)

    def receipts(self, block: BlockAPI) -> tuple[ReceiptAPI, ...]:
        builder = self.chain.get_vm(block.header).get_receipt_builder()
        return tuple(self.chain.chaindb.get_receipts(block.header, builder))

    def seal_block(self) -> BlockAPI | None:
        """Put what waits into a block, seal it and store it; None if nothing can be included."""
        with self.lock:
            waiting = self.pending()
            if not waiting:
                return None
            try:
                with self._store.transaction():
                    return self._build(waiting)
            except Exception:
                # py-evm caches what the rolled-back transaction wrote.
                self.chain = self._open()
                raise

    def _build(self, waiting: list[SignedTransactionAPI]) -> BlockAPI | None:
        header = consensus.next_header(
            self.chain, self.signer.public_key.to_canonical_address(), int(time.time())
        )
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
        if not included:
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
        signers = [self.signer.public_key.to_canonical_address()]
        with self._store.transaction():
            chain = consensus.open_chain(self._store, self.network, signers)
        first = chain.get_canonical_block_header_by_number(0)
        if first.extra_data != consensus.genesis(self.network, signers)["extra_data"]:
            raise StateMismatch(
                f"the state directory holds the chain of another network or signer than "
                f"{self.network!r}: give its network's name or another directory"
            )
        return chain

    def _known(self, hash_: bytes) -> bool:
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

    def _seal_forever(self) -> None:
        while not self._stopping.is_set():
            with self._waiting:
                self._waiting.wait_for(lambda: self._stopping.is_set() or self._store.pool())
                # A block's time, in whole seconds, must be later than its parent's.
                earliest = self.chain.get_canonical_head().timestamp + 1
            if self._stopping.wait(max(0.0, earliest - time.time())):
                return
            try:
                block = self.seal_block()
            except Exception:
                logger.exception("sealing failed; trying again in a second")
                self._stopping.wait(1)
            else:
                if block is not None:
                    logger.info("sealed block %d (%s)", block.number, encode_hex(block.hash))


def load_key(path: Path) -> PrivateKey:
    """A secp256k1 key in hex, made at first use, readable by its owner alone."""
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    return keys.PrivateKey(bytes.fromhex(path.read_text().strip()))
