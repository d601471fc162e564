"""The JSON-RPC methods that web3.py needs, on a `Node`."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import rlp
from eth.abc import BlockAPI, BlockHeaderAPI, SignedTransactionAPI
from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import BlockNotFound, HeaderNotFound, Revert, TransactionNotFound, VMError
from eth.vm.spoof import SpoofTransaction
from eth_abi import decode
from eth_typing import Address, BlockNumber, Hash32
from eth_utils import (
    ValidationError,
    decode_hex,
    encode_hex,
    keccak,
    to_checksum_address,
)

from portal.chain import consensus, formats
from portal.chain.errors import RpcError
from portal.chain.node import BLOCK_GAS, Node

logger = logging.getLogger(__name__)

MAX_LOG_BLOCKS = 10_000
MAX_BATCH = 100
REVERT_SELECTOR = bytes.fromhex("08c379a0")


class Rpc:
    """Answers JSON-RPC 2.0 requests; methods are named as on the wire."""

    def __init__(self, node: Node) -> None:
        self.node = node
        prefixes = ("eth_", "net_", "web3_", "debug_", "fsc_")
        self.methods: dict[str, Callable[..., Any]] = {
            name: getattr(self, name) for name in dir(self) if name.startswith(prefixes)
        }

    def answer(self, request: Any) -> Any:
        """The response to one request object, or to a batch of them."""
        if isinstance(request, list):
            if not 0 < len(request) <= MAX_BATCH:
                return _failure(None, RpcError(RpcError.REQUEST, f"1 to {MAX_BATCH} requests"))
            return [self._answer_one(item) for item in request]
        return self._answer_one(request)

    def _answer_one(self, request: Any) -> Any:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            return _failure(None, RpcError(RpcError.REQUEST, "not a JSON-RPC request"))
        identifier, params = request.get("id"), request.get("params", [])
        try:
            method = self.methods.get(request["method"])
            if method is None:
                raise RpcError(RpcError.METHOD, f"method {request['method'][:80]} not found")
            if not isinstance(params, list):
                raise RpcError(RpcError.PARAMS, "params must be a list")
            with self.node.lock:
                result = method(*params)
        except RpcError as exc:
            return _failure(identifier, exc)
        except (TypeError, ValueError, KeyError, AttributeError, ValidationError) as exc:
            return _failure(identifier, RpcError(RpcError.PARAMS, f"invalid params: {exc}"))
        except Exception:
            logger.exception("%s failed", request["method"])
            return _failure(identifier, RpcError(RpcError.INTERNAL, "internal error"))
        return {"jsonrpc": "2.0", "id": identifier, "result": result}

    def web3_clientVersion(self) -> str:
        return "federated-simulation-cloud/chain (py-evm, clique)"

    def web3_sha3(self, data: str) -> str:
        return encode_hex(keccak(decode_hex(data)))

    def net_version(self) -> str:
        return str(self.node.chain.chain_id)

    def net_listening(self) -> bool:
        return True

    def net_peerCount(self) -> str:
        return formats.quantity(0)

    def eth_chainId(self) -> str:
        return formats.quantity(self.node.chain.chain_id)

    def eth_syncing(self) -> bool:
        return False

    def eth_accounts(self) -> list[str]:
        return []

    def eth_gasPrice(self) -> str:
        return formats.quantity(0)

    def eth_maxPriorityFeePerGas(self) -> str:
        return formats.quantity(0)

    def eth_blockNumber(self) -> str:
        return formats.quantity(self.node.chain.get_canonical_head().block_number)

    def eth_getBlockByNumber(self, at: str, full: bool = False) -> formats.Json | None:
        header = self._header(at)
        return None if header is None else self._block(header, full)

    def eth_getBlockByHash(self, hash_: str, full: bool = False) -> formats.Json | None:
        header = self._header_of(hash_)
        return None if header is None else self._block(header, full)

    def eth_getTransactionByHash(self, hash_: str) -> formats.Json | None:
        wanted = _hash(hash_)
        place = self._place(wanted)
        if place is not None:
            found, index = place
            return formats.transaction(found.transactions[index], found.header, index)
        for waiting in self.node.pending():
            if waiting.hash == wanted:
                return formats.transaction(waiting, None, None)
        return None

    def eth_getRawTransactionByHash(self, hash_: str) -> str | None:
        place = self._place(_hash(hash_))
        return None if place is None else encode_hex(place[0].transactions[place[1]].encode())

    def eth_getTransactionReceipt(self, hash_: str) -> formats.Json | None:
        place = self._place(_hash(hash_))
        if place is None:
            return None
        found, index = place
        return formats.receipt(found, self.node.receipts(found), index)

    def eth_getTransactionCount(self, address: str, at: str = "latest") -> str:
        account = _address(address)
        if at == "pending":
            return formats.quantity(self.node.next_nonce(account))
        return formats.quantity(self._state(at).get_nonce(account))

    def eth_getBalance(self, address: str, at: str = "latest") -> str:
        return formats.quantity(self._state(at).get_balance(_address(address)))

    def eth_getCode(self, address: str, at: str = "latest") -> str:
        return encode_hex(self._state(at).get_code(_address(address)))

    def eth_getStorageAt(self, address: str, slot: str, at: str = "latest") -> str:
        value = self._state(at).get_storage(_address(address), int(slot, 16))
        return encode_hex(value.to_bytes(32, "big"))

    def debug_getRawBlock(self, at: str) -> str | None:
        """The RLP of a block, by number or by hash (of any stored fork)."""
        header = self._header_of(at) if len(at) == 66 else self._header(at)
        if header is None:
            return None
        return encode_hex(rlp.encode(self.node.chain.get_block_by_header(header)))

    def fsc_pool(self) -> list[str]:
        """The transactions that wait, signed, first come first: what other authorities fetch."""
        return [encode_hex(raw) for raw in self.node.pool()]

    def fsc_signers(self) -> list[str]:
        """Returns who may seal the next block, in the order of their turns."""
        chain = self.node.chain
        signers = consensus.signers_after(chain, chain.get_canonical_head())
        return [to_checksum_address(signer) for signer in signers]

    def eth_sendRawTransaction(self, raw: str) -> str:
        return encode_hex(self.node.submit(decode_hex(raw)))

    def eth_call(self, call: formats.Json, at: str = "latest", *_: Any) -> str:
        header = self._needed(at)
        try:
            output = self.node.chain.get_transaction_result(self._spoof(call), header)
        except Revert as exc:
            raise _reverted(exc) from exc
        except VMError as exc:
            raise RpcError(RpcError.REJECTED, f"execution failed: {type(exc).__name__}") from exc
        return encode_hex(output)

    def eth_estimateGas(self, call: formats.Json, at: str = "latest", *_: Any) -> str:
        header = self._needed(at)
        try:
            gas = self.node.chain.estimate_gas(self._spoof(call), header)
        except Revert as exc:
            raise _reverted(exc) from exc
        except VMError as exc:
            raise RpcError(RpcError.REJECTED, f"execution failed: {type(exc).__name__}") from exc
        return formats.quantity(gas)

    def eth_feeHistory(self, count: Any, newest: str, percentiles: Any = None) -> formats.Json:
        last = self._needed(newest).block_number
        number = int(count, 16) if isinstance(count, str) else int(count)
        number = max(1, min(number, 1024, last + 1))
        rows = len(percentiles or [])
        return {
            "oldestBlock": formats.quantity(last + 1 - number),
            "baseFeePerGas": ["0x0"] * (number + 1),
            "gasUsedRatio": [0.0] * number,
            "reward": [["0x0"] * rows] * number,
        }

    def eth_getLogs(self, query: formats.Json) -> list[formats.Json]:
        wanted = query.get("address") or []
        addresses = {a.lower() for a in ([wanted] if isinstance(wanted, str) else wanted)}
        topics = query.get("topics") or []
        found = []
        for header in self._searched(query):
            if header.bloom:
                block = self.node.chain.get_block_by_header(header)
                entries = formats.logs(block, self.node.receipts(block))
                found += [entry for entry in entries if _matches(entry, addresses, topics)]
        return found

    def _searched(self, query: formats.Json) -> Iterator[BlockHeaderAPI]:
        """The block that a log query names by its hash (of any stored fork), else its range."""
        if "blockHash" in query:
            named = self._header_of(query["blockHash"])
            if named is None:
                raise RpcError(RpcError.REJECTED, f"block {query['blockHash']} not found")
            yield named
            return
        first = self._needed(query.get("fromBlock", "latest")).block_number
        last = self._needed(query.get("toBlock", "latest")).block_number
        if last - first >= MAX_LOG_BLOCKS:
            raise RpcError(RpcError.PARAMS, f"at most {MAX_LOG_BLOCKS} blocks in one query")
        for number in range(first, last + 1):
            yield self.node.chain.get_canonical_block_header_by_number(BlockNumber(number))

    def _block(self, header: BlockHeaderAPI, full: bool) -> formats.Json:
        score = self.node.chain.get_score(header.hash)
        return formats.block(self.node.chain.get_block_by_header(header), score=score, full=full)

    def _place(self, hash_: Hash32) -> tuple[BlockAPI, int] | None:
        try:
            number, index = self.node.chain.get_canonical_transaction_index(hash_)
        except TransactionNotFound:
            return None
        return self.node.chain.get_canonical_block_by_number(number), index

    def _header(self, at: str) -> BlockHeaderAPI | None:
        head = self.node.chain.get_canonical_head()
        if at in {"latest", "pending"}:
            return head
        if at in {"safe", "finalized"}:
            # Clique has no finality: this is as far back as forks of honest signers may reach.
            depth = len(consensus.signers_after(self.node.chain, head)) // 2 + 1
            number = max(0, head.block_number + 1 - depth)
        else:
            number = 0 if at == "earliest" else int(at, 16)
        if not 0 <= number <= head.block_number:
            return None
        try:
            return self.node.chain.get_canonical_block_header_by_number(BlockNumber(number))
        except (HeaderNotFound, BlockNotFound):
            return None

    def _header_of(self, hash_: str) -> BlockHeaderAPI | None:
        try:
            return self.node.chain.get_block_header_by_hash(_hash(hash_))
        except HeaderNotFound:
            return None

    def _needed(self, at: str) -> BlockHeaderAPI:
        header = self._header(at)
        if header is None:
            raise RpcError(RpcError.REJECTED, f"block {at} not found")
        return header

    def _state(self, at: str) -> Any:
        return self.node.chain.get_vm(self._needed(at)).state

    def _spoof(self, call: formats.Json) -> SignedTransactionAPI:
        """An unsigned transaction as if the sender had signed it."""
        sender = _address(call.get("from") or "0x" + "00" * 20)
        target = call.get("to")
        data = call.get("input") or call.get("data") or "0x"
        unsigned = self.node.chain.create_unsigned_transaction(
            nonce=self.node.chain.get_vm().state.get_nonce(sender),
            gas_price=0,
            gas=min(int(call.get("gas", hex(BLOCK_GAS)), 16), consensus.GAS_LIMIT),
            to=_address(target) if target else CREATE_CONTRACT_ADDRESS,
            value=int(call.get("value", "0x0"), 16),
            data=decode_hex(data),
        )
        return cast("SignedTransactionAPI", SpoofTransaction(unsigned, from_=sender))


def _matches(entry: formats.Json, addresses: set[str], topics: list[Any]) -> bool:
    if addresses and entry["address"].lower() not in addresses:
        return False
    if len(topics) > len(entry["topics"]):
        return False
    for wanted, topic in zip(topics, entry["topics"], strict=False):
        options = [wanted] if isinstance(wanted, str) else wanted
        if options and topic not in {option.lower() for option in options}:
            return False
    return True


def _reverted(exc: Revert) -> RpcError:
    output = exc.args[0] if exc.args and isinstance(exc.args[0], bytes) else b""
    reason = ""
    if output[:4] == REVERT_SELECTOR:
        reason = f": {decode(['string'], output[4:])[0]}"
    return RpcError(RpcError.REVERTED, f"execution reverted{reason}", encode_hex(output))


def _hash(text: str) -> Hash32:
    return Hash32(_bytes(text, 32))


def _address(text: str) -> Address:
    return Address(_bytes(text, 20))


def _bytes(text: str, size: int) -> bytes:
    value = decode_hex(text)
    if len(value) != size:
        raise ValueError(f"expected {size} bytes, got {len(value)}")
    return value


def _failure(identifier: Any, error: RpcError) -> formats.Json:
    return {"jsonrpc": "2.0", "id": identifier, "error": error.body()}
