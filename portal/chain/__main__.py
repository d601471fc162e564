"""Run the embedded chain: ``python -m portal.chain --state DIR --port P --network NAME``."""

import argparse
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from federated.errors import DomainError
from portal.chain.node import Node
from portal.chain.rpc import Rpc
from portal.chain.server import HOST, Server


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m portal.chain", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="directory of keys and blocks")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--network", required=True, help="name that chain id and genesis follow")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        node = Node(options.state, options.network)
        try:
            server = Server(options.port, Rpc(node))
        except DomainError:
            node.stop()
            raise
    except DomainError as exc:
        print(f"chain: {exc.message}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    node.start()
    logging.info(
        "chain %s (id %d) on http://%s:%d, head %d",
        options.network,
        node.chain.chain_id,
        HOST,
        server.server_port,
        node.chain.get_canonical_head().block_number,
    )
    try:
        server.serve_forever(poll_interval=0.2)
    except SystemExit:
        pass
    finally:
        server.server_close()
        node.stop()
    return 0


def _stop(*_: Any) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
