"""Replay a chain from another node's blocks: a reader's own check of every rule.

`replay` imports all blocks into a fresh in-memory chain, so that state roots, receipts and seals
are recomputed rather than believed.
"""

from collections.abc import Callable
from typing import Any

from eth.abc import BlockHeaderAPI
from eth.chains.base import Chain
from eth.consensus.clique._utils import get_signers_at_checkpoint
from eth.db.atomic import AtomicDB
from eth.vm.forks.london.blocks import LondonBlockHeader
from eth_typing import Address, BlockNumber, Hash32
from eth_utils import ValidationError, decode_hex

from portal.chain import consensus

Call = Callable[[str, list[Any]], Any]


def replay(call: Call, network: str) -> Chain:
    """Fetch every block by JSON-RPC (`call(method, params)`) and import it.

    Raises eth_utils' ValidationError naming the first block that breaks a rule.
    """
    head = int(call("eth_blockNumber", []), 16)
    first = header_of(call("eth_getBlockByNumber", ["0x0", False]))
    signers = get_signers_at_checkpoint(first)
    chain = consensus.open_chain(AtomicDB(), network, signers)
    if chain.get_canonical_head().hash != first.hash:
        raise ValidationError(f"block 0 is not the genesis of {network}")
    for number in range(1, head + 1):
        body = call("eth_getBlockByNumber", [hex(number), True])
        header = header_of(body)
        vm = chain.get_vm(header)
        builder = vm.get_transaction_builder()
        raw = [
            builder.decode(decode_hex(call("eth_getRawTransactionByHash", [item["hash"]])))
            for item in body["transactions"]
        ]
        block = vm.get_block_class()(header=header, transactions=raw, uncles=[])
        chain.import_block(block)
    return chain


def header_of(body: dict[str, Any]) -> BlockHeaderAPI:
    """The header in a JSON-RPC block. Raises ValidationError if the hash is not its own."""
    header = LondonBlockHeader(
        parent_hash=Hash32(decode_hex(body["parentHash"])),
        uncles_hash=Hash32(decode_hex(body["sha3Uncles"])),
        coinbase=Address(decode_hex(body["miner"])),
        state_root=Hash32(decode_hex(body["stateRoot"])),
        transaction_root=Hash32(decode_hex(body["transactionsRoot"])),
        receipt_root=Hash32(decode_hex(body["receiptsRoot"])),
        bloom=int(body["logsBloom"], 16),
        difficulty=int(body["difficulty"], 16),
        block_number=BlockNumber(int(body["number"], 16)),
        gas_limit=int(body["gasLimit"], 16),
        gas_used=int(body["gasUsed"], 16),
        timestamp=int(body["timestamp"], 16),
        extra_data=decode_hex(body["extraData"]),
        mix_hash=Hash32(decode_hex(body["mixHash"])),
        nonce=decode_hex(body["nonce"]),
        base_fee_per_gas=int(body["baseFeePerGas"], 16),
    )
    if header.hash != decode_hex(body["hash"]):
        raise ValidationError(f"block {header.block_number} does not have the hash it claims")
    return header
