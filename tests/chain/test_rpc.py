"""The answers of the chain's JSON-RPC to requests that name what is not there."""

from pathlib import Path

import pytest

from portal.chain.errors import RpcError
from portal.chain.node import Node
from portal.chain.rpc import Rpc

UNKNOWN = "0x" + "5e" * 32


@pytest.fixture
def rpc(tmp_path: Path):
    node = Node(tmp_path / "chain", "test")
    yield Rpc(node)
    node.stop()


def ask(rpc: Rpc, method: str, *params):
    return rpc.answer({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})


def test_logs_of_an_unknown_block_are_refused_by_its_name(rpc: Rpc) -> None:
    error = ask(rpc, "eth_getLogs", {"blockHash": UNKNOWN})["error"]
    assert (error["code"], error["message"]) == (RpcError.REJECTED, f"block {UNKNOWN} not found")


def test_an_unknown_block_is_null(rpc: Rpc) -> None:
    assert ask(rpc, "eth_getBlockByHash", UNKNOWN, False)["result"] is None
    assert ask(rpc, "debug_getRawBlock", UNKNOWN)["result"] is None
