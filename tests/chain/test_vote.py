"""Members vote from their terminals, with keys of their own, on a chain that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from portal.chain.vote import main
from tests.chain.nodes import ChainProcess
from tests.patience import patient

pytestmark = pytest.mark.any_chain


@pytest.fixture
def members(tmp_path: Path) -> list[tuple[str, Path]]:
    """Addresses of three members, and the files of their keys."""
    made = []
    for number in range(3):
        account = Account.create()
        path = tmp_path / f"member-{number}.key"
        path.write_text(account.key.hex())
        made.append((account.address, path))
    return made


def test_two_of_three_change_the_anchorers(
    chain: ChainProcess, artifact: dict[str, Any], members: Any, capsys: Any
) -> None:
    factory = chain.web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    own = chain.account().address
    addresses = [address for address, _ in members]
    tx = chain.send(factory.constructor([own], addresses, 2))
    receipt = chain.web3.eth.wait_for_transaction_receipt(
        tx, timeout=patient(30), poll_latency=0.05
    )
    contract = receipt["contractAddress"]

    def vote(member: int, *rest: str) -> int:
        url = f"http://127.0.0.1:{chain.port}"
        return main(["--rpc", url, "--contract", contract, "--key", str(members[member][1]), *rest])

    assert vote(0, "remove-anchorer", own) == 0
    assert "1 of 2 votes" in capsys.readouterr().out
    assert vote(0, "remove-anchorer", own) == 1
    assert "voted already" in capsys.readouterr().err
    assert vote(1, "remove-anchorer", own) == 0
    assert "the change is made" in capsys.readouterr().out
    registry = chain.web3.eth.contract(address=contract, abi=artifact["abi"])
    assert not registry.functions.authorized(own).call()
    assert vote(2, "show") == 0
    assert '"changes": 1' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (("add-anchorer", "0x12"), "is no address"),
        (("add-anchorer", "0xaB" + "12" * 19), "is mistyped"),
        (("set-quorum", "two"), "is no number"),
        (("add-anchorer", "0x" + "12" * 20), "not a member"),
    ],
)
def test_what_is_refused(
    chain: ChainProcess, registry: Any, tmp_path: Path, capsys: Any, rest: Any, message: str
) -> None:
    key = tmp_path / "key"
    key.write_text("11" * 32)
    url = f"http://127.0.0.1:{chain.port}"
    assert main(["--rpc", url, "--contract", registry.address, "--key", str(key), *rest]) == 1
    assert message in capsys.readouterr().err


def test_another_contract_a_bad_key_no_node(
    chain: ChainProcess, tmp_path: Path, capsys: Any
) -> None:
    key = tmp_path / "key"
    key.write_text("11" * 32)
    other = ["--contract", "0x" + "12" * 20]
    url = chain.url
    assert main(["--rpc", url, "--contract", "0x12", "--key", str(key), "show"]) == 1
    assert "is no address" in capsys.readouterr().err
    assert main(["--rpc", url, *other, "--key", str(key), "show"]) == 1
    assert "not an AnchorRegistry" in capsys.readouterr().err
    assert main(["--rpc", "http://127.0.0.1:1", *other, "--key", str(key), "show"]) == 1
    assert "vote: " in capsys.readouterr().err
    key.write_text("11")
    assert main(["--rpc", url, *other, "--key", str(key), "show"]) == 1
    assert "64 hexadecimal digits" in capsys.readouterr().err
