"""A real chain process and a web3.py client for it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.middleware import ExtraDataToPOAMiddleware

ROOT = Path(__file__).parents[2]
NETWORK = "quasim_provenance"
ARTIFACT = ROOT / "apps/provenance/contracts/AnchorRegistry.json"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_until(condition: Callable[[], bool], process: "ChainProcess", seconds: float = 60) -> None:
    """Wait for a condition, polling; fail if the process dies or the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.alive(), process.output()
        assert time.monotonic() < deadline, process.output()
        time.sleep(0.02)


class ChainProcess:
    def __init__(
        self,
        state: Path,
        port: int | None = None,
        network: str = NETWORK,
        options: Sequence[str] = (),
    ) -> None:
        self.state, self.port, self.network = state, port or free_port(), network
        self.options = options
        self.log = state.with_suffix(".log")
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "portal.chain", "--state", str(self.state)]
        command += ["--port", str(self.port), "--network", self.network, *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        self.web3 = Web3(HTTPProvider(f"http://127.0.0.1:{self.port}"))
        self.web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)

    def ready(self) -> "ChainProcess":
        run_until(self.web3.is_connected, self)
        return self

    def alive(self) -> bool:
        return self.process.poll() is None

    def output(self) -> str:
        return self.log.read_text()

    def kill(self, number: int = signal.SIGKILL) -> int:
        if self.alive():
            os.kill(self.process.pid, number)
        return self.process.wait(30)

    def account(self) -> Account:
        return Account.from_key((self.state / "anchorer.key").read_text().strip())

    def send(self, call) -> bytes:
        """Sign a contract call with the anchorer's key and send it; returns the hash."""
        account = self.account()
        nonce = self.web3.eth.get_transaction_count(account.address, "pending")
        fields = {"from": account.address, "nonce": nonce, "gas": 3_000_000, "gasPrice": 0}
        built = call.build_transaction({**fields, "chainId": self.web3.eth.chain_id})
        return self.web3.eth.send_raw_transaction(account.sign_transaction(built).raw_transaction)

    def call(self, method: str, params: list) -> object:
        answer = self.web3.provider.make_request(method, params)
        assert "error" not in answer, answer
        return answer["result"]


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[ChainProcess]:
    process = ChainProcess(tmp_path / "chain").ready()
    yield process
    process.kill()


@pytest.fixture(scope="session")
def artifact() -> dict:
    return json.loads(ARTIFACT.read_text())


@pytest.fixture
def registry(chain: ChainProcess, artifact: dict):
    factory = chain.web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    tx = chain.send(factory.constructor([chain.account().address], [chain.account().address], 1))
    receipt = chain.web3.eth.wait_for_transaction_receipt(tx, timeout=30, poll_latency=0.05)
    assert receipt["status"] == 1
    return chain.web3.eth.contract(address=receipt["contractAddress"], abi=artifact["abi"])
