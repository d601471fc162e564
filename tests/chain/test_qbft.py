"""The genesis of a Besu network: its extraData is Besu's own, its gas is free."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import rlp
import yaml
from eth_utils import decode_hex

from portal.chain.keys import load_key
from portal.chain.qbft import MINIMUM, extra_data, main

ROOT = Path(__file__).parents[2]
# Besu's documentation, "Configure QBFT consensus", Generate extra data.
SAMPLE_VALIDATORS = (
    "0x4592c8e45706cc08b8f44b11e43cba0cfc5892cb",
    "0x06e23768a0f59cf365e18c2e0c89e151bcdedc70",
    "0xc5327f96ee02d7bcbc1bf1236b8c15148971e1de",
    "0xab5e7f4061c605820d3744227eed91ff8e2c8908",
)
SAMPLE = (
    "0xf87aa00000000000000000000000000000000000000000000000000000000000000000f854944592c8e45706cc08"
    "b8f44b11e43cba0cfc5892cb9406e23768a0f59cf365e18c2e0c89e151bcdedc7094c5327f96ee02d7bcbc1bf1236b"
    "8c15148971e1de94ab5e7f4061c605820d3744227eed91ff8e2c8908c080c0"
)


def test_the_published_sample() -> None:
    assert extra_data([decode_hex(address) for address in SAMPLE_VALIDATORS]) == SAMPLE


def test_a_network_is_made(tmp_path: Path, capsys: Any) -> None:
    assert main(["--out", str(tmp_path), "--chain-id", "2026"]) == 0
    made = json.loads((tmp_path / "genesis.json").read_text())
    assert made["config"]["chainId"] == 2026
    assert made["config"]["zeroBaseFee"] is True
    keys = [load_key(tmp_path / f"validator-{n}" / "key") for n in range(1, MINIMUM + 1)]
    vanity, validators, votes, round_, seals = rlp.decode(decode_hex(made["extraData"]))
    assert validators == sorted(key.public_key.to_canonical_address() for key in keys)
    assert (vanity, votes, round_, seals) == (bytes(32), [], b"", [])
    nodes = json.loads((tmp_path / "static-nodes.json").read_text())
    assert nodes[0] == f"enode://{keys[0].public_key.to_bytes().hex()}@172.28.0.11:30303"
    assert stat.S_IMODE((tmp_path / "validator-1" / "key").stat().st_mode) == 0o600
    before = (tmp_path / "genesis.json").read_bytes()
    assert main(["--out", str(tmp_path), "--chain-id", "2026"]) == 0
    assert (tmp_path / "genesis.json").read_bytes() == before


def test_from_public_keys_that_organizations_made(tmp_path: Path, capsys: Any) -> None:
    public = []
    for number in range(4):
        assert main(["--show", str(tmp_path / f"org-{number}" / "key")]) == 0
        public.append(capsys.readouterr().out.strip())
    chosen = [f"--validator={key}" for key in public]
    hosts = [f"--host=10.0.0.{number}" for number in range(4)]
    assert main(["--out", str(tmp_path / "out"), *chosen, *hosts]) == 0
    assert not (tmp_path / "out" / "validator-1").exists()
    nodes = json.loads((tmp_path / "out" / "static-nodes.json").read_text())
    assert nodes[3].endswith("@10.0.0.3:30303")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "3"], "from 4 on"),
        (["--validator", "0x12"], "128 hexadecimal digits"),
        (["--host", "10.0.0.1"], "1 for 4 validators"),
    ],
)
def test_what_is_refused(tmp_path: Path, capsys: Any, arguments: list[str], message: str) -> None:
    assert main(["--out", str(tmp_path), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "genesis.json").exists()


def test_the_compose_file_runs_them_all_without_a_price() -> None:
    compose = yaml.safe_load((ROOT / "deploy/besu/compose.yaml").read_text())
    assert len(compose["services"]) == MINIMUM
    for number, (name, service) in enumerate(compose["services"].items(), start=1):
        assert name == f"validator-{number}"
        assert "--min-gas-price=0" in service["command"]
        assert service["networks"]["besu"]["ipv4_address"] == f"172.28.0.{10 + number}"
        assert f"./network/validator-{number}/key:/key:ro" in service["volumes"]
