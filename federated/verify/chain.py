"""Looking a bundle's anchors up on a chain, by JSON-RPC at a node that the reader trusts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

from federated.errors import DomainError, InvalidInput, Unavailable
from federated.provenance.bundle import Anchor, Bundle
from federated.provenance.verify import BundleCheck, Check, origin_hash

ROOT_AT = "root_at(bytes32,uint64)"
RUNTIME = "0a1ee43eb747bc3456865d614b9b784c7897f0c637631c7f592bf9544fa1fd77"
"""SHA-256 of AnchorRegistry's runtime bytecode: any other code may answer what it likes."""

MAX_ANSWER_BYTES = 1 << 23
"""More than a block of 100,000 transactions' hashes."""
MAX_ANSWER_PARTS = 900


def chain_checks(rpc: str | None = None, contract: str | None = None) -> BundleCheck:
    """Checks that each anchor's root is in its contract, and its block in that chain.

    A bundle names its contract itself, and anyone can deploy one: ``contract`` is the address that
    the reader knows to be the consortium's. Without it, and without a node, the checks say so.
    Raises InvalidInput for what is no address, of a node or a contract.
    """
    if rpc is not None and not _is_url(rpc):
        raise InvalidInput(f"--rpc {rpc!r}: an address like http://127.0.0.1:8545 is needed")
    if contract is not None and not re.fullmatch("0x[0-9a-fA-F]{40}", contract):
        raise InvalidInput(f"--contract {contract!r} is no address (0x and 40 hexadecimal digits)")
    if contract is not None and rpc is None:
        raise InvalidInput("--contract is looked up at a node: give --rpc too")

    def chain_check(bundle: Bundle) -> Iterable[Check]:
        if rpc is None:
            if bundle.anchors:
                what = "anchors not looked up: give --rpc, a node of the chain that you trust"
                yield Check("chain", "skipped", what)
            return
        with httpx.Client(timeout=10.0, trust_env=False) as http:
            yield from _checks(bundle, rpc, contract, http)

    return chain_check


def _is_url(text: str) -> bool:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    return url.scheme in ("http", "https") and bool(url.host)


def _checks(bundle: Bundle, rpc: str, contract: str | None, http: httpx.Client) -> Iterator[Check]:
    if bundle.anchors and contract is None:
        yield Check("chain contract", "skipped", f"not pinned; it is {bundle.anchors[0].contract}")
    for anchor in bundle.anchors:
        name = f"chain anchor {anchor.size} of {anchor.origin}"
        try:
            if contract is not None and anchor.contract.lower() != contract.lower():
                raise InvalidInput(f"the anchor is in {anchor.contract}, not in {contract}")
            _look_up(anchor, rpc, http)
        except Unavailable as error:
            yield Check("chain", "failed", f"anchors not looked up: {error.message}")
            return
        except DomainError as error:
            yield Check(name, "failed", error.message)
        else:
            detail = f"root in contract {anchor.contract}, block {anchor.block_number}, by {rpc}"
            yield Check(name, "ok", detail)


def _look_up(anchor: Anchor, rpc: str, http: httpx.Client) -> None:
    """Raises InvalidInput for another chain, root or block, Unavailable for no answer."""
    chain = _quantity(_call(http, rpc, "eth_chainId"))
    if chain != anchor.chain_id:
        raise InvalidInput(f"the node's chain is {chain}, the anchor's {anchor.chain_id}")
    code = bytes.fromhex(_text(_call(http, rpc, "eth_getCode", anchor.contract, "latest")))
    if hashlib.sha256(code).hexdigest() != RUNTIME:
        what = "another contract" if code else "no contract"
        raise InvalidInput(f"{anchor.contract} is {what}, not an AnchorRegistry")
    data = _selector() + origin_hash(anchor.origin) + anchor.size.to_bytes(32, "big")
    query = {"to": anchor.contract, "data": "0x" + data.hex()}
    root = _text(_call(http, rpc, "eth_call", query, "latest"))
    if root != anchor.root:
        raise InvalidInput(f"the contract holds root {root[:16] or 'none'}, not {anchor.root[:16]}")
    block = _call(http, rpc, "eth_getBlockByNumber", hex(anchor.block_number), False)
    if not isinstance(block, dict) or block.get("hash") != anchor.block_hash:
        raise InvalidInput(f"block {anchor.block_number} of the chain is another one")
    if anchor.tx_hash not in block.get("transactions", ()):
        raise InvalidInput(f"block {anchor.block_number} does not hold {anchor.tx_hash}")


def _call(http: httpx.Client, rpc: str, method: str, *parameters: Any) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
    try:
        with http.stream("POST", rpc, json=request) as response:
            answer = json.loads(_read(response))
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        raise Unavailable(f"{rpc} does not answer as a JSON-RPC node") from error
    if not isinstance(answer, dict) or "result" not in answer:
        told = answer.get("error") if isinstance(answer, dict) else answer
        raise InvalidInput(f"{rpc}: {method}: {str(told)[:300]}")
    return answer["result"]


def _read(response: httpx.Response) -> bytes:
    """Raises ValueError for a longer answer than any that was asked for."""
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise ValueError("the answer does not end")
    if content.count(b"[") + content.count(b"{") > MAX_ANSWER_PARTS:
        # Some libraries raise the recursion limit: a deep answer would then end the process.
        raise ValueError("nothing that was asked for is nested so")
    return bytes(content)


def _quantity(answer: Any) -> int:
    """A node's number of 64 bits. Raises InvalidInput."""
    if not isinstance(answer, str) or not re.fullmatch("0x[0-9a-f]{1,16}", answer):
        raise InvalidInput("the node's answer is no number in hexadecimal")
    return int(answer, 16)


def _text(answer: Any) -> str:
    """The digits of a node's hexadecimal answer. Raises InvalidInput."""
    if not isinstance(answer, str) or not re.fullmatch("0x([0-9a-f]{2})*", answer):
        raise InvalidInput("the node's answer is not hexadecimal text")
    return answer.removeprefix("0x")


def _selector() -> bytes:
    from eth_utils.crypto import keccak

    return bytes(keccak(text=ROOT_AT)[:4])
