"""Chains as processes of their own: the embedded one, and anvil, which knows nothing of us."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.middleware import ExtraDataToPOAMiddleware

from apps.provenance import keys
from tests.chain import anvil
from tests.patience import patient
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
NETWORK = "quasim_provenance"
ANVIL = os.environ.get("FSC_TEST_CHAIN", "embedded") == "anvil"
"""Whether tests marked ``any_chain`` run against anvil (`make test-chain`)."""


def run_until(condition: Callable[[], bool], process: "ChainProcess", seconds: float = 60) -> None:
    """Wait for a condition, polling; fail if the process dies or the time is up."""
    deadline = time.monotonic() + patient(seconds)
    while not condition():
        assert process.alive(), process.output()
        assert time.monotonic() < deadline, process.output()
        time.sleep(0.02)


class ChainProcess:
    """The embedded chain."""

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
        self.key_file = state / "anchorer.key"
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        command = [sys.executable, "-m", "portal.chain", "--state", str(self.state)]
        return [*command, "--port", str(self.port), "--network", self.network, *self.options]

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=ROOT, stdout=log, stderr=log)
        self.web3 = Web3(HTTPProvider(self.url))
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
        return self.process.wait(patient(30))

    def account(self) -> Account:
        return Account.from_key(keys.secret_file(self.key_file))

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


class Anvil(ChainProcess):
    """Anvil: no proof of authority, no key of ours, blocks by the clock, its state kept at an end.

    Gas is free, as the anchoring code needs; the accounts that it makes by itself own nothing.
    """

    CHAIN_ID = 31_338

    def command(self) -> list[str]:
        self.state.mkdir(parents=True, exist_ok=True)
        options = ["--gas-price=0", "--base-fee=0", "--no-priority-fee", "--hardfork=london"]
        options += ["--accounts=1", "--balance=0", "--block-time=0.5", "--silent", *self.options]
        options += [f"--port={self.port}", f"--chain-id={self.CHAIN_ID}"]
        return [str(anvil.binary()), *options, "--state", str(self.state / "state.json")]


def any_chain(state: Path, port: int | None = None) -> ChainProcess:
    """The chain that the tests were asked to use."""
    return (Anvil if ANVIL else ChainProcess)(state, port)
