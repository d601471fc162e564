"""A member's vote on who anchors: ``python -m portal.chain.vote --rpc URL --contract ADDRESS ...``.

Talks to any chain's node; the key is read from a file and never leaves this process. A change is
made by the vote that completes the registry's quorum.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from apps.provenance.ethereum import CHANGES, Gateway, checksum_address
from federated.errors import DomainError, InvalidInput


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    try:
        gateway = Gateway(options.rpc, _key(options.key))
        if not gateway.registry_exists(options.contract):
            raise InvalidInput(
                f"{options.contract} is not an AnchorRegistry of the chain at {options.rpc}"
            )
        if options.change == "show":
            print(json.dumps(gateway.registry_state(options.contract), indent=1))
            return 0
        kind = CHANGES[options.change]
        subject, quorum = _subject(options)
        state = gateway.registry_vote(options.contract, kind, subject, quorum)
    except DomainError as error:
        print(f"vote: {error.message}", file=sys.stderr)
        return 1
    made = state["votes"] == 0
    told = "the change is made" if made else f"{state['votes']} of {state['quorum']} votes"
    print(f"{options.change} {options.value}: {told}")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m portal.chain.vote", description=__doc__)
    parser.add_argument("--rpc", required=True, help="JSON-RPC of a node")
    parser.add_argument("--contract", required=True, help="address of the AnchorRegistry")
    parser.add_argument("--key", required=True, type=Path, help="file with the member's key, hex")
    parser.add_argument("change", choices=["show", *CHANGES])
    parser.add_argument("value", nargs="?", default="", help="an address; for set-quorum a number")
    return parser.parse_args(arguments)


def _key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text().strip().removeprefix("0x"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: a key of 64 hexadecimal digits is needed") from error
    if len(key) != 32:
        raise InvalidInput(f"{path}: a key of 64 hexadecimal digits is needed")
    return key


def _subject(options: argparse.Namespace) -> tuple[str, int]:
    if options.change == "set-quorum":
        if not options.value.isdecimal():
            raise InvalidInput(f"set-quorum: {options.value!r} is no number")
        return "0x" + "00" * 20, int(options.value)
    return checksum_address(options.value), 0


if __name__ == "__main__":
    sys.exit(main())
