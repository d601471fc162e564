"""No bit of a bundle can change unnoticed."""

from __future__ import annotations

import random
from pathlib import Path

from federated.errors import InvalidInput
from federated.provenance.bundle import load_bundle
from federated.provenance.verify import verify_bundle
from federated.verify.rounds import round_checks
from federated.verify.trust import trust_checks
from federated.verify.witnesses import witness_checks
from tests.federated.provenance.small_bundle import authority, small_bundle, small_bundle_bytes

FLIPS = 2_000
CHECKS = [round_checks, witness_checks(), trust_checks([authority()])]
UNSIGNED = {"created_at", "chain_id", "contract", "tx_hash", "block_number", "block_hash"}
"""What no signature covers: a time that proves nothing, and places that only `--rpc` confirms."""


def test_every_flipped_bit_of_the_file_is_caught(tmp_path: Path) -> None:
    whole = small_bundle_bytes()
    path = tmp_path / "bundle.json"
    path.write_bytes(whole)
    assert verify_bundle(path, checks=CHECKS).ok
    random_ = random.Random(9162)
    missed = []
    for _ in range(FLIPS):
        bit = random_.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(flipped))
        try:
            bundle = load_bundle(path)
        except InvalidInput:
            continue
        # Whether the rest of the checks run too makes no difference to a digest that is wrong.
        if bundle.digest == bundle.content_digest():
            missed.append(bit)
    assert missed == []


def leaves(value, path=()):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from leaves(item, (*path, position))
    else:
        yield path, value


def changed(value, random_):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, float):
        return value * (1 + 2**-52)
    if not value:
        return "x"
    at = random_.randrange(len(value))
    return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]


def test_a_forger_who_makes_the_digest_anew_is_caught_by_the_checks() -> None:
    """A value of every kind of field, wherever it is, changed in an otherwise honest bundle."""
    random_ = random.Random(6962)
    kinds: dict[tuple, list] = {}
    for path, value in leaves(small_bundle()):
        if value is not None and not UNSIGNED & {*path[:1], path[-1]}:
            kind = tuple(part for part in path if isinstance(part, str))
            kinds.setdefault(kind, []).append(path)
    assert len(kinds) > 60
    missed = []
    for kind, paths in kinds.items():
        path = random_.choice(paths)
        raw = small_bundle()
        holder = raw
        for part in path[:-1]:
            holder = holder[part]
        holder[path[-1]] = changed(holder[path[-1]], random_)
        try:
            report = verify_bundle(raw, checks=CHECKS)
        except InvalidInput:
            continue
        if report.ok:
            missed.append((kind, path))
    assert missed == []
