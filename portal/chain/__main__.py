"""Run a node of the chain: ``python -m portal.chain --state DIR --network NAME --port P``.

Several authorities: give each node all their addresses (``--show-address`` prints a node's own) and
the other nodes as peers. A node whose address is not among them follows and seals nothing.
"""

import argparse
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from eth_typing import Address
from eth_utils import decode_hex, is_address, to_checksum_address

from federated.errors import DomainError
from portal.chain.keys import signer_address
from portal.chain.node import Node
from portal.chain.rpc import Rpc
from portal.chain.sealer import Sealer
from portal.chain.server import HOST, Server
from portal.chain.sync import Follower


def main() -> int:
    options = _options()
    if options.show_address:
        print(to_checksum_address(signer_address(options.state)))
        return 0
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # httpx tells every request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        authorities = {Address(decode_hex(text)) for text in options.authority}
        node = Node(options.state, options.network, authorities)
        try:
            server = Server(options.port, Rpc(node), options.host)
        except DomainError:
            node.stop()
            raise
    except DomainError as exc:
        print(f"chain: {exc.message}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    workers: list[Sealer | Follower] = [
        Sealer(node, options.state),
        *(Follower(node, url) for url in options.peer),
    ]
    for worker in workers:
        worker.start()
    logging.info(
        "chain %s (id %d) on http://%s:%d, head %d, %d authorities, this one is %s",
        options.network,
        node.chain.chain_id,
        options.host,
        server.server_port,
        node.chain.get_canonical_head().block_number,
        len(node.authorities),
        to_checksum_address(node.address),
    )
    try:
        server.serve_forever(poll_interval=0.2)
    except SystemExit:
        pass
    finally:
        server.server_close()
        for worker in reversed(workers):
            worker.stop()
        node.stop()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m portal.chain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--state", type=Path, required=True, help="directory of keys and blocks")
    parser.add_argument("--network", required=True, help="name that chain id and genesis follow")
    parser.add_argument("--port", type=int, default=0, help="port of JSON-RPC")
    parser.add_argument("--host", default=HOST, help=f"address to listen on (default {HOST})")
    parser.add_argument(
        "--authority",
        action="append",
        default=[],
        type=_address,
        metavar="ADDRESS",
        help="one of the first signers; again for each (default: this node alone)",
    )
    parser.add_argument(
        "--peer", action="append", default=[], metavar="URL", help="another node; again for each"
    )
    parser.add_argument(
        "--show-address", action="store_true", help="print this node's address and stop"
    )
    return parser.parse_args()


def _address(text: str) -> str:
    if not is_address(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no address (0x and 40 hexadecimal digits)")
    return text


def _stop(*_: Any) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
