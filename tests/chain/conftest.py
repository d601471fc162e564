"""A real chain process, and an AnchorRegistry on it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain.nodes import ROOT, ChainProcess, any_chain
from tests.patience import patient

ARTIFACT = ROOT / "apps/provenance/contracts/AnchorRegistry.json"


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[ChainProcess]:
    process = any_chain(tmp_path / "chain").ready()
    yield process
    process.kill()


@pytest.fixture(scope="session")
def artifact() -> dict:
    return json.loads(ARTIFACT.read_text())


@pytest.fixture
def registry(chain: ChainProcess, artifact: dict):
    factory = chain.web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    tx = chain.send(factory.constructor([chain.account().address], [chain.account().address], 1))
    receipt = chain.web3.eth.wait_for_transaction_receipt(
        tx, timeout=patient(30), poll_latency=0.05
    )
    assert receipt["status"] == 1
    return chain.web3.eth.contract(address=receipt["contractAddress"], abi=artifact["abi"])
