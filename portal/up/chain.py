"""Runs the embedded proof-of-authority chain: one process per authority."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from portal.config import Config
from portal.up.service import Service


class Chain(Service):
    """One authority's node. The first is the one that the portal talks to."""

    name = "chain"
    has_port = True
    ready_seconds = 180

    def __init__(self, config: Config, number: int = 1) -> None:
        super().__init__(config)
        self.number = number
        self.name = _name(number)

    def command(self) -> list[str]:
        count = self.config.blockchain.authorities
        command = [
            *(sys.executable, "-m", "portal.chain", "--state", str(self._state(self.number))),
            *("--port", str(self.config.port(self.name))),
            *("--network", self.config.blockchain.network),
        ]
        if count > 1:
            for number in range(1, count + 1):
                command += ["--authority", self._address(number)]
                if number != self.number:
                    port = self.config.port(_name(number))
                    command += ["--peer", f"http://127.0.0.1:{port}"]
        return command

    @property
    def detail(self) -> str:
        return f"{super().detail} {self.config.blockchain.network}"

    def is_ready(self) -> bool:
        request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{self.config.port(self.name)}", json=request, timeout=2
            )
            return "result" in answer.json()
        except (httpx.HTTPError, ValueError):
            return False

    def _state(self, number: int) -> Path:
        return self.config.chain_dir.with_name(_name(number))

    def _address(self, number: int) -> str:
        """The address of an authority, whose key is made here if this is the first start."""
        # The chain's packages are heavy, and one authority needs none of this.
        from portal.chain.keys import signer_address

        return "0x" + signer_address(self._state(number)).hex()


def _name(number: int) -> str:
    return "chain" if number == 1 else f"chain-{number}"
