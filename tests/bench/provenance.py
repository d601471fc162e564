"""The log's speed: proofs and verification beside pymerkle, appends beside plain INSERTs.

Everything is measured in one run, in alternating batches: the ratios count, not the times.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from collections.abc import Callable

from pymerkle import InmemoryTree, verify_consistency, verify_inclusion

from federated.provenance import merkle
from tests.bench import frame, provenance_database

PEER = "pymerkle"
FLOOR = "SHA-256 alone"
"""The hashes of a verification and nothing else, of nodes that lie ready: what no verifier written
in Python goes below."""
BATCHES = 25


def timed(work: Callable[[int], object], count: int) -> float:
    """Processor seconds an operation: other work on the machine does not count."""
    start = time.process_time()
    for number in range(count):
        work(number)
    return (time.process_time() - start) / count


def hashed(work: Callable[[], object]) -> int:
    """How many nodes a verification hashes."""
    begin, count = merkle._node, 0

    def counted() -> hashlib._Hash:
        nonlocal count
        count += 1
        return begin()

    merkle._node = counted
    try:
        work()
    finally:
        merkle._node = begin
    return count


def hash_nodes(count: int, node: bytes = bytes(2 * merkle.HASH_SIZE)) -> None:
    """So many node hashes, by the fastest way that hashlib has."""
    begin = merkle._node
    for _ in range(count):
        started = begin()
        started.update(node)
        started.digest()


def measure(leaves: int, repeats: int) -> list[frame.Row]:
    """Both trees are built whole; then each operation is timed in alternating batches."""
    data = [number.to_bytes(8, "big") for number in range(leaves)]
    nodes: dict[merkle.Key, bytes] = {}
    tree = InmemoryTree(algorithm="sha256")
    built = {
        frame.OURS: timed(lambda i: merkle.append(nodes, i, merkle.leaf_hash(data[i])), leaves),
        PEER: timed(lambda i: tree.append_entry(data[i]), leaves),
    }
    root = merkle.root(nodes, leaves)
    if root != tree.get_root():
        raise SystemExit("the two trees have different roots: nothing to compare")
    case = f"{leaves} leaves"
    rows = [frame.Row(case, name, "append", 1e6 * value, "us") for name, value in built.items()]

    random_ = random.Random(9162)
    places = [random_.randrange(leaves) for _ in range(repeats)]
    sizes = [random_.randrange(1, leaves) for _ in range(repeats)]
    ours = [merkle.inclusion_proof(nodes, at, leaves) for at in places]
    theirs = [tree.prove_inclusion(at + 1) for at in places]
    hashes = [merkle.leaf_hash(data[at]) for at in places]
    steps = [merkle.consistency_proof(nodes, old, leaves) for old in sizes]
    steps_peer = [tree.prove_consistency(old, leaves) for old in sizes]
    roots = [merkle.root(nodes, old) for old in sizes]
    states = [tree.get_root(old) for old in sizes]
    # Events that follow one another, as most of a job's do: one verifier a batch, begun anew.
    first = random_.randrange(leaves - repeats)
    near_hashes = [merkle.leaf_hash(data[first + i]) for i in range(repeats)]
    near = [merkle.inclusion_proof(nodes, first + i, leaves) for i in range(repeats)]
    near_peer = [tree.prove_inclusion(first + i + 1) for i in range(repeats)]
    verifiers: list[merkle.InclusionVerifier] = []

    def verify_near(i: int) -> None:
        if i == 0:
            verifiers[:] = [merkle.InclusionVerifier(leaves, root)]
        verifiers[0].verify(near_hashes[i], first + i, near[i])

    operations: dict[str, dict[str, Callable[[int], object]]] = {
        "prove inclusion": {
            frame.OURS: lambda i: merkle.inclusion_proof(nodes, places[i], leaves),
            PEER: lambda i: tree.prove_inclusion(places[i] + 1),
        },
        "verify inclusion": {
            frame.OURS: lambda i: merkle.InclusionVerifier(leaves, root).verify(
                hashes[i], places[i], ours[i]
            ),
            PEER: lambda i: verify_inclusion(hashes[i], root, theirs[i]),
        },
        "verify inclusion, a bundle's events": {
            frame.OURS: verify_near,
            PEER: lambda i: verify_inclusion(near_hashes[i], root, near_peer[i]),
        },
        "prove consistency": {
            frame.OURS: lambda i: merkle.consistency_proof(nodes, sizes[i], leaves),
            PEER: lambda i: tree.prove_consistency(sizes[i], leaves),
        },
        "verify consistency": {
            frame.OURS: lambda i: merkle.verify_consistency(
                sizes[i], leaves, roots[i], root, steps[i]
            ),
            PEER: lambda i: verify_consistency(states[i], root, steps_peer[i]),
        },
    }
    for metric in ("verify inclusion", "verify consistency"):
        check = operations[metric][frame.OURS]
        counts = [hashed(lambda i=i, check=check: check(i)) for i in range(repeats)]
        operations[metric][FLOOR] = lambda i, counts=counts: hash_nodes(counts[i])
        rows.append(frame.Row(case, FLOOR, f"{metric}: hashes", sum(counts) / repeats, "hashes"))
    for metric, systems in operations.items():
        spent: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(BATCHES):
            for name, work in systems.items():
                spent[name].append(1e6 * timed(work, repeats))
        for name, values in spent.items():
            rows += frame.spread(case, name, metric, values, "us")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaves", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    facts = frame.machine()
    rows = provenance_database.measure()
    rows += measure(options.leaves, options.repeats)
    path = frame.write("provenance", rows, facts)
    for row in rows:
        if row.metric.startswith(("queries", "CPU", "the event")):
            print(f"{row.metric}: {row.value:.3g} {row.unit} ({row.case})")
    metrics = dict.fromkeys(r.metric for r in rows if not r.metric.endswith(("(min)", "(max)")))
    for ratio in frame.ratios(rows, metrics):
        print(f"{ratio.metric}: {ratio.peer.system} takes {ratio.value:.2f} times as long")
    known = {(row.metric, row.system): row.value for row in rows}
    for metric in ("verify inclusion", "verify consistency"):
        most = known[metric, PEER] / known[metric, FLOOR]
        print(f"{metric}: {PEER} takes {most:.2f} times as long as {FLOOR}, the most there is")
    print(path)


if __name__ == "__main__":
    main()
