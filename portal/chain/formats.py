"""Blocks, transactions, receipts and logs as JSON-RPC objects (Ethereum execution API)."""

from collections.abc import Iterator, Sequence
from typing import Any

import rlp
from eth._utils.address import generate_contract_address
from eth.abc import BlockAPI, BlockHeaderAPI, LogAPI, ReceiptAPI, SignedTransactionAPI
from eth_utils import encode_hex, to_checksum_address

Json = dict[str, Any]


def quantity(value: int) -> str:
    return hex(value)


def bloom(value: int) -> str:
    return encode_hex(value.to_bytes(256, "big"))


def block(found: BlockAPI, *, score: int, full: bool) -> Json:
    header = found.header
    transactions: Sequence[Any] = [encode_hex(item.hash) for item in found.transactions]
    if full:
        transactions = [
            transaction(item, header, index) for index, item in enumerate(found.transactions)
        ]
    return {
        "number": quantity(header.block_number),
        "hash": encode_hex(header.hash),
        "parentHash": encode_hex(header.parent_hash),
        "nonce": encode_hex(header.nonce),
        "sha3Uncles": encode_hex(header.uncles_hash),
        "logsBloom": bloom(header.bloom),
        "transactionsRoot": encode_hex(header.transaction_root),
        "stateRoot": encode_hex(header.state_root),
        "receiptsRoot": encode_hex(header.receipt_root),
        "miner": to_checksum_address(header.coinbase),
        "mixHash": encode_hex(header.mix_hash),
        "difficulty": quantity(header.difficulty),
        "totalDifficulty": quantity(score),
        "extraData": encode_hex(header.extra_data),
        "size": quantity(len(rlp.encode(found))),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "baseFeePerGas": quantity(header.base_fee_per_gas or 0),
        "timestamp": quantity(header.timestamp),
        "transactions": transactions,
        "uncles": [],
    }


def transaction(
    item: SignedTransactionAPI, header: BlockHeaderAPI | None, index: int | None
) -> Json:
    """A transaction; `header` and `index` are None while it waits."""
    kind = getattr(item, "type_id", None) or 0
    found: Json = {
        "hash": encode_hex(item.hash),
        "type": quantity(kind),
        "nonce": quantity(item.nonce),
        "from": to_checksum_address(item.sender),
        "to": to_checksum_address(item.to) if item.to else None,
        "value": quantity(item.value),
        "gas": quantity(item.gas),
        "gasPrice": quantity(item.max_fee_per_gas),
        "input": encode_hex(item.data),
        "chainId": None if item.chain_id is None else quantity(item.chain_id),
        "r": quantity(item.r),
        "s": quantity(item.s),
        "v": quantity(getattr(item, "v", 0) if kind == 0 else item.y_parity),
        "blockHash": encode_hex(header.hash) if header else None,
        "blockNumber": quantity(header.block_number) if header else None,
        "transactionIndex": None if index is None else quantity(index),
    }
    if kind:
        found["accessList"] = [
            {"address": to_checksum_address(address), "storageKeys": [hex(key) for key in slots]}
            for address, slots in item.access_list
        ]
    if kind == 2:
        found["maxFeePerGas"] = quantity(item.max_fee_per_gas)
        found["maxPriorityFeePerGas"] = quantity(item.max_priority_fee_per_gas)
    return found


def receipt(found: BlockAPI, receipts: Sequence[ReceiptAPI], index: int) -> Json:
    item, own = found.transactions[index], receipts[index]
    # A receipt's gas_used is the block's sum up to and with this transaction.
    before = receipts[index - 1].gas_used if index else 0
    created = None if item.to else generate_contract_address(item.sender, item.nonce)
    return {
        "transactionHash": encode_hex(item.hash),
        "transactionIndex": quantity(index),
        "blockHash": encode_hex(found.hash),
        "blockNumber": quantity(found.number),
        "from": to_checksum_address(item.sender),
        "to": to_checksum_address(item.to) if item.to else None,
        "contractAddress": to_checksum_address(created) if created else None,
        "cumulativeGasUsed": quantity(own.gas_used),
        "gasUsed": quantity(own.gas_used - before),
        "effectiveGasPrice": quantity(found.header.base_fee_per_gas or 0),
        "type": quantity(getattr(item, "type_id", None) or 0),
        "status": quantity(1 if own.state_root == b"\x01" else 0),
        "logsBloom": bloom(own.bloom),
        "logs": [
            entry for entry in logs(found, receipts) if entry["transactionIndex"] == hex(index)
        ],
    }


def logs(found: BlockAPI, receipts: Sequence[ReceiptAPI]) -> Iterator[Json]:
    """Every log of a block, in order."""
    place = 0
    for index, (item, own) in enumerate(zip(found.transactions, receipts, strict=True)):
        for entry in own.logs:
            yield _log(found, item, index, entry, place)
            place += 1


def _log(
    found: BlockAPI, item: SignedTransactionAPI, index: int, entry: LogAPI, place: int
) -> Json:
    return {
        "address": to_checksum_address(entry.address),
        "topics": [encode_hex(topic.to_bytes(32, "big")) for topic in entry.topics],
        "data": encode_hex(entry.data),
        "blockNumber": quantity(found.number),
        "blockHash": encode_hex(found.hash),
        "transactionHash": encode_hex(item.hash),
        "transactionIndex": quantity(index),
        "logIndex": quantity(place),
        "removed": False,
    }
