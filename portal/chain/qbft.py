"""A QBFT network for Besu, its keys and genesis: ``python -m portal.chain.qbft --out DIR``.

Makes one folder per validator with its node key, a genesis file with free gas, and the list of the
nodes' addresses. Each organization should make its own key (``--show``) where it runs its node, and
pass on the public key alone: then give the public keys with ``--validator``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rlp
from eth_keys.datatypes import PublicKey
from eth_utils import encode_hex

from federated.errors import DomainError, InvalidInput
from portal.chain.keys import load_key

MINIMUM = 4
P2P_PORT = 30303
# What marks a block of Istanbul's family (QBFT specification, genesis).
MIX_HASH = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
GAS_LIMIT = 30_000_000


def extra_data(validators: Sequence[bytes]) -> str:
    """QBFT's genesis extraData: RLP of 32 bytes vanity, the validators, no vote, round 0, no seals.

    ``validators`` are addresses of 20 bytes, in the order in which they are to stand.
    """
    return encode_hex(rlp.encode([bytes(32), list(validators), [], b"", []]))


def genesis(
    chain_id: int, validators: Sequence[bytes], *, block_seconds: int = 2
) -> dict[str, Any]:
    """The genesis of a network with free gas, at London: the contract's bytecode is made for it."""
    if len(validators) < MINIMUM:
        raise InvalidInput(
            f"validators: {len(validators)}; QBFT tolerates a fault from {MINIMUM} on"
        )
    if len(set(validators)) != len(validators):
        raise InvalidInput("validators: one is listed twice")
    forks = (
        *("homesteadBlock", "eip150Block", "eip155Block", "eip158Block", "byzantiumBlock"),
        *("constantinopleBlock", "petersburgBlock", "istanbulBlock", "berlinBlock", "londonBlock"),
    )
    return {
        "config": {
            "chainId": chain_id,
            **dict.fromkeys(forks, 0),
            "zeroBaseFee": True,
            "qbft": {
                "blockperiodseconds": block_seconds,
                "epochlength": 30_000,
                "requesttimeoutseconds": 2 * block_seconds,
            },
        },
        "nonce": "0x0",
        "timestamp": "0x0",
        "gasLimit": hex(GAS_LIMIT),
        "difficulty": "0x1",
        "mixHash": MIX_HASH,
        "coinbase": "0x" + "00" * 20,
        "extraData": extra_data(sorted(validators)),
        "alloc": {},
    }


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    try:
        return _make(options)
    except DomainError as error:
        print(f"qbft: {error.message}", file=sys.stderr)
        return 1


def _make(options: argparse.Namespace) -> int:
    if options.show is not None:
        options.show.parent.mkdir(parents=True, exist_ok=True)
        print(load_key(options.show).public_key.to_hex())
        return 0
    public = [_public_key(text) for text in options.validator]
    if not public:
        folders = [options.out / f"validator-{n}" for n in range(1, options.count + 1)]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        public = [load_key(folder / "key").public_key for folder in folders]
    hosts = options.host or [f"172.28.0.{10 + n}" for n in range(1, len(public) + 1)]
    if len(hosts) != len(public):
        raise InvalidInput(f"--host: {len(hosts)} for {len(public)} validators")
    made = genesis(options.chain_id, [key.to_canonical_address() for key in public])
    options.out.mkdir(parents=True, exist_ok=True)
    nodes = [
        f"enode://{key.to_bytes().hex()}@{host}:{P2P_PORT}"
        for key, host in zip(public, hosts, strict=True)
    ]
    (options.out / "genesis.json").write_text(json.dumps(made, indent=2) + "\n")
    (options.out / "static-nodes.json").write_text(json.dumps(nodes, indent=2) + "\n")
    print(f"{options.out}: genesis of chain {options.chain_id} with {len(public)} validators")
    return 0


def _public_key(text: str) -> PublicKey:
    try:
        return PublicKey(bytes.fromhex(text.removeprefix("0x")))
    except Exception as error:
        # eth_keys raises several kinds for a wrong length or no point of the curve.
        raise InvalidInput(f"--validator {text[:20]}: 128 hexadecimal digits are needed") from error


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m portal.chain.qbft", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("var/besu"), help="folder to write")
    parser.add_argument("--chain-id", type=int, default=1337, help="default 1337")
    parser.add_argument("--count", type=int, default=MINIMUM, help="keys to make (default 4)")
    parser.add_argument(
        "--validator", action="append", default=[], metavar="PUBLIC_KEY", help="again for each"
    )
    parser.add_argument("--host", action="append", default=[], help="IP of each node, in order")
    parser.add_argument(
        "--show", type=Path, metavar="FILE", help="make or read this key, print its public key"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
