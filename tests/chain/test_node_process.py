"""The chain as web3.py sees it: a real process on a real port."""

import os
import signal
import stat

import httpx
import pytest
from eth_account import Account
from web3.exceptions import ContractLogicError, Web3RPCError

from portal.chain.consensus import chain_id_of
from portal.chain.replay import replay
from tests.chain.nodes import NETWORK, ChainProcess, run_until
from tests.patience import patient
from tests.ports import free_port

ORIGIN = b"\x11" * 32
ROOT = b"\x22" * 32


def wait(chain, tx):
    return chain.web3.eth.wait_for_transaction_receipt(tx, timeout=patient(30), poll_latency=0.05)


def test_identity_follows_from_the_network_name(chain):
    assert chain.web3.eth.chain_id == chain_id_of(NETWORK) != chain_id_of("another")
    assert chain.web3.net.version == str(chain_id_of(NETWORK))
    assert chain.web3.eth.block_number == 0
    assert chain.web3.eth.gas_price == 0
    assert chain.web3.eth.get_block("latest").number == 0
    assert chain.web3.eth.syncing is False
    for key in ("signer.key", "anchorer.key"):
        assert stat.S_IMODE(os.stat(chain.state / key).st_mode) == 0o600


@pytest.mark.any_chain
def test_anchor_reads_back_with_receipt_log_and_block(chain, registry):
    tx = chain.send(registry.functions.anchor(ORIGIN, 7, ROOT))
    receipt = wait(chain, tx)
    assert receipt["status"] == 1
    assert registry.functions.latest(ORIGIN).call()[:2] == (7, ROOT)
    assert registry.functions.root_at(ORIGIN, 7).call() == ROOT
    (event,) = registry.events.Anchored.get_logs(from_block=0)
    assert (event.args.size, event.args.root) == (7, ROOT)
    assert event.args.anchorer == chain.account().address
    assert (
        registry.events.Anchored.get_logs(
            from_block=0, argument_filters={"origin_hash": b"\x33" * 32}
        )
        == []
    )
    block = chain.web3.eth.get_block(receipt["blockNumber"], full_transactions=True)
    assert [item["hash"] for item in block.transactions] == [tx]
    assert chain.web3.eth.get_block(block.hash).number == block.number
    assert chain.web3.eth.get_transaction(tx)["blockHash"] == block.hash
    assert block.baseFeePerGas == 0


def test_one_empty_block_confirms_and_then_none_follows(chain, registry):
    run_until(lambda: chain.web3.eth.block_number == 2, chain)
    assert len(chain.web3.eth.get_block(1).transactions) == 1
    assert len(chain.web3.eth.get_block(2).transactions) == 0
    wait(chain, chain.send(registry.functions.anchor(ORIGIN, 1, ROOT)))
    assert len(chain.web3.eth.get_block(3).transactions) == 1
    run_until(lambda: chain.web3.eth.block_number == 4, chain)
    assert len(chain.web3.eth.get_block(4).transactions) == 0


@pytest.mark.any_chain
def test_contract_refuses_strangers_and_shrinking_sizes(chain, registry):
    wait(chain, chain.send(registry.functions.anchor(ORIGIN, 7, ROOT)))
    mine = {"from": chain.account().address}
    stranger = {"from": Account.create().address}
    with pytest.raises(ContractLogicError, match="size must grow"):
        registry.functions.anchor(ORIGIN, 7, ROOT).call(mine)
    with pytest.raises(ContractLogicError, match="not an anchorer"):
        registry.functions.anchor(ORIGIN, 8, ROOT).call(stranger)
    with pytest.raises(ContractLogicError, match="not an anchorer"):
        registry.functions.anchor(ORIGIN, 8, ROOT).estimate_gas(stranger)
    assert 21_000 < registry.functions.anchor(ORIGIN, 8, ROOT).estimate_gas(mine) < 200_000
    failed = wait(chain, chain.send(registry.functions.anchor(ORIGIN, 7, ROOT)))
    assert failed["status"] == 0
    assert registry.functions.latest(ORIGIN).call()[:2] == (7, ROOT)


def test_sent_twice_is_one_transaction_and_bad_ones_are_refused(chain, registry):
    web3, account = chain.web3, chain.account()
    nonce = web3.eth.get_transaction_count(account.address)
    fields = {"from": account.address, "nonce": nonce, "gas": 1_000_000, "gasPrice": 0}
    fields["chainId"] = web3.eth.chain_id
    call = registry.functions.anchor(ORIGIN, 1, ROOT)
    raw = account.sign_transaction(call.build_transaction(fields)).raw_transaction
    assert web3.eth.send_raw_transaction(raw) == web3.eth.send_raw_transaction(raw)
    wait(chain, web3.eth.send_raw_transaction(raw))
    assert web3.eth.get_transaction_count(account.address) == nonce + 1

    def refused(match, **changed):
        built = call.build_transaction({**fields, "nonce": nonce + 1, **changed})
        with pytest.raises(Web3RPCError, match=match):
            web3.eth.send_raw_transaction(account.sign_transaction(built).raw_transaction)

    refused("nonce too low", nonce=nonce, gas=999_999)
    refused("nonce too high", nonce=nonce + 9)
    refused("wrong chain id", chainId=1)
    refused("insufficient funds", gasPrice=1)
    refused("gas must be", gas=25_000_000)
    with pytest.raises(Web3RPCError, match="not a signed transaction"):
        web3.eth.send_raw_transaction(b"\x01\x02\x03")


def test_dynamic_fee_transactions_work_at_zero_fee(chain, registry):
    web3, account = chain.web3, chain.account()
    fields = {"from": account.address, "nonce": 1, "gas": 1_000_000, "type": 2}
    fields |= {"maxFeePerGas": 0, "maxPriorityFeePerGas": 0, "chainId": web3.eth.chain_id}
    built = registry.functions.anchor(ORIGIN, 3, ROOT).build_transaction(fields)
    tx = web3.eth.send_raw_transaction(account.sign_transaction(built).raw_transaction)
    assert wait(chain, tx)["type"] == 2
    assert web3.eth.get_transaction(tx)["maxFeePerGas"] == 0
    replay(chain.call, NETWORK)


def test_kill_9_loses_nothing_acknowledged(chain, registry):
    tx = None
    for size in range(1, 5):
        # Killed at once after the acknowledgement: before, while or after it is sealed.
        tx = chain.send(registry.functions.anchor(ORIGIN, size, ROOT))
        chain.kill()
        chain.start()
        chain.ready()
        assert wait(chain, tx)["status"] == 1
        assert registry.functions.latest(ORIGIN).call()[0] == size
    assert registry.functions.latest(ORIGIN).call()[1] == ROOT


def test_a_second_reader_replays_to_the_same_head(chain, registry):
    for size in (1, 2, 3):
        wait(chain, chain.send(registry.functions.anchor(ORIGIN, size, ROOT)))
    run_until(lambda: not chain.web3.eth.get_block("latest").transactions, chain)
    copy = replay(chain.call, NETWORK)
    head = chain.web3.eth.get_block("latest")
    assert copy.get_canonical_head().hash == head.hash
    assert copy.get_canonical_head().block_number == head.number > 4


def test_clear_errors_for_state_port_and_network_in_use(chain, tmp_path):
    second = ChainProcess(chain.state)
    assert second.process.wait(patient(30)) == 1
    assert f"already runs as process {chain.process.pid}" in second.output()
    other = ChainProcess(tmp_path / "other", port=chain.port)
    assert other.process.wait(patient(30)) == 1
    assert f"port {chain.port} on 127.0.0.1 cannot be used" in other.output()
    assert chain.kill(signal.SIGTERM) == 0
    renamed = ChainProcess(chain.state, port=free_port(), network="another")
    assert renamed.process.wait(patient(30)) == 1
    assert "another network" in renamed.output()
    assert "Traceback" not in second.output() + other.output() + renamed.output()


def test_http_refuses_browsers_large_bodies_and_nonsense(chain):
    url = f"http://127.0.0.1:{chain.port}"
    json_type = {"Content-Type": "application/json"}
    ask = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
    assert httpx.post(url, content=ask, headers=json_type).json()["result"]
    assert httpx.post(url, content=ask, headers={"Content-Type": "text/plain"}).status_code == 403
    evil = {**json_type, "Host": "evil.example:80"}
    assert httpx.post(url, content=ask, headers=evil).status_code == 403
    assert httpx.post(url, content=b" " * ((1 << 20) + 1), headers=json_type).status_code == 413
    for rubbish in (b"{", b"", b"[" * 100_000, b"\xff"):
        answer = httpx.post(url, content=rubbish, headers=json_type).json()
        assert answer["error"]["code"] == -32700

    def error(body):
        return httpx.post(url, json=body).json()["error"]["code"]

    assert error(7) == error([]) == error({"id": 1}) == -32600
    assert error({"id": 1, "method": "eth_mine"}) == -32601
    for params in ([], ["0x12"], [{}], ["zz"], {"a": 1}):
        assert error({"id": 1, "method": "eth_getTransactionReceipt", "params": params}) == -32602
    batch = [{"id": i, "method": "eth_blockNumber", "params": []} for i in range(3)]
    assert [item["id"] for item in httpx.post(url, json=batch).json()] == [0, 1, 2]
