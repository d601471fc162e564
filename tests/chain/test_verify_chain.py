"""Anchors are looked up on a real chain: only the right root in the right contract passes."""

import hashlib
import json
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner, Result

from federated.command.root import main
from federated.provenance.bundle import Bundle
from federated.provenance.verify import Check, origin_hash, verify_bundle
from federated.verify.chain import MAX_ANSWER_BYTES, RUNTIME, chain_checks
from tests.federated.provenance.small_bundle import small_bundle, small_bundle_bytes

pytestmark = pytest.mark.any_chain


@pytest.fixture
def anchored(chain, registry) -> dict:
    """The small bundle, its anchor made on the chain."""
    raw = small_bundle()
    (anchor,) = raw["anchors"]
    root = bytes.fromhex(anchor["root"])
    call = registry.functions.anchor(origin_hash(anchor["origin"]), anchor["size"], root)
    receipt = chain.web3.eth.wait_for_transaction_receipt(chain.send(call), poll_latency=0.05)
    anchor.update(
        chain_id=chain.web3.eth.chain_id,
        contract=registry.address,
        tx_hash=receipt["transactionHash"].to_0x_hex(),
        block_number=receipt["blockNumber"],
        block_hash=receipt["blockHash"].to_0x_hex(),
    )
    return raw


def looked_up(raw: dict, port: int, contract: str | None = None) -> list[Check]:
    rpc = f"http://127.0.0.1:{port}"
    report = verify_bundle(raw, checks=[chain_checks(rpc, contract)])
    return [check for check in report.checks if check.name.startswith("chain")]


def test_the_pinned_runtime_is_the_artifacts(artifact):
    code = bytes.fromhex(artifact["bytecode_runtime"].removeprefix("0x"))
    assert hashlib.sha256(code).hexdigest() == RUNTIME


def test_anchors_on_the_chain(chain, registry, anchored, tmp_path):
    told = looked_up(anchored, chain.port)
    assert [check.status for check in told] == ["skipped", "ok"]
    assert [c.status for c in looked_up(anchored, chain.port, registry.address)] == ["ok"]

    def failing(pinned: str | None = None, at: str = registry.address, **changes: object) -> str:
        changes["contract"] = at
        raw = {**anchored, "anchors": [{**anchored["anchors"][0], **changes}]}
        failed = [c for c in looked_up(raw, chain.port, pinned) if c.status == "failed"]
        assert len(failed) == 1
        return failed[0].detail

    assert "chain is" in failing(chain_id=1)
    assert "no contract" in failing(at="0x" + "12" * 20)
    assert "not in 0x" in failing("0x" + "34" * 20)
    assert "is another one" in failing(block_hash="0x" + "00" * 32)
    assert "does not hold" in failing(tx_hash="0x" + "00" * 32)
    assert "holds root" in failing(root="0" * 64)

    # Init code that deploys one byte of code: STOP.
    made = {"data": "0x60016000f3", "to": None}
    account = chain.account()
    fields = {"nonce": chain.web3.eth.get_transaction_count(account.address), "gas": 100_000}
    signed = account.sign_transaction(
        {**made, **fields, "gasPrice": 0, "chainId": chain.web3.eth.chain_id}
    )
    sent = chain.web3.eth.send_raw_transaction(signed.raw_transaction)
    receipt = chain.web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.05)
    assert "another contract" in failing(at=receipt["contractAddress"])

    path = tmp_path / "bundle.json"
    Bundle.model_validate(anchored).write(path)
    rpc = f"http://127.0.0.1:{chain.port}"
    done = run("verify", str(path), "--rpc", rpc, "--contract", registry.address, "--json")
    assert (done.exit_code, json.loads(done.stdout)["ok"]) == (0, True)
    assert "not looked up" not in done.stdout
    anchored["anchors"][0]["chain_id"] += 1
    Bundle.model_validate(anchored).write(path)
    done = run("verify", str(path), "--rpc", rpc, "--contract", registry.address)
    assert (done.exit_code, done.stderr, done.stdout.count("FAILED")) == (1, "", 1)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def test_no_node_is_a_failed_check(tmp_path):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        (told,) = [
            c for c in looked_up(small_bundle(), held.getsockname()[1]) if c.status == "failed"
        ]
    assert "does not answer as a JSON-RPC node" in told.detail


class Nonsense(BaseHTTPRequestHandler):
    answer = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(self.answer)

    def log_message(self, *given: object) -> None:
        pass


def test_a_node_that_answers_nonsense_is_one_failed_check():
    raw = small_bundle()
    server = HTTPServer(("127.0.0.1", 0), Nonsense)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    deep, long = b"[" * 100_000, b" " * (MAX_ANSWER_BYTES + 1)
    absent = [b"<html>", b"", b"\xff", b"[[[", deep, long]
    values = [b"null", b"7", b'"0x"', b'"0xzz"', b'"0x' + b"f" * 10_000 + b'"', b'"0x8"', b"{}"]
    wrong = [b"[]", b"null", b"{}", b'{"error":"no"}', *(b'{"result":%b}' % v for v in values)]
    try:
        for answer in (*absent, *wrong):
            Nonsense.answer = answer
            told = looked_up(raw, server.server_port, raw["anchors"][0]["contract"])
            assert [check.status for check in told] == ["failed"], answer[:20]
            assert "stopped" not in told[0].detail
            assert ("does not answer" in told[0].detail) == (answer in absent)
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rpc", ""), "--rpc '': an address"),
        (("--rpc", "localhost:8545"), "--rpc 'localhost:8545': an address"),
        (("--rpc", "http://[::1"), "an address like"),
        (("--rpc", "http://127.0.0.1:1", "--contract", "0x12"), "--contract '0x12' is no address"),
        (("--contract", "0x" + "12" * 20), "give --rpc too"),
    ],
)
def test_what_is_no_address_is_one_line(tmp_path, options, message):
    path = tmp_path / "bundle.json"
    path.write_bytes(small_bundle_bytes())
    done = run("verify", str(path), *options)
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert message in done.stderr
