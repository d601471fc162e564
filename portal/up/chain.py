"""The embedded proof-of-authority chain, a process of its own."""

from __future__ import annotations

import sys

import httpx

from portal.up.service import Service


class Chain(Service):
    name = "chain"
    has_port = True
    ready_seconds = 60

    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "portal.chain", "--state", str(self.config.chain_dir)),
            *("--port", str(self.config.port(self.name))),
            *("--network", self.config.blockchain.network),
        ]

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
