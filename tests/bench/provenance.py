"""Proofs and their verification, beside pymerkle, over the same leaves."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

from pymerkle import InmemoryTree, verify_consistency, verify_inclusion

from federated.provenance import merkle
from tests.bench import frame

PEER = "pymerkle"
BATCHES = 5


def timed(work: Callable[[int], object], count: int) -> float:
    """Seconds an operation."""
    start = time.perf_counter()
    for number in range(count):
        work(number)
    return (time.perf_counter() - start) / count


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
    operations: dict[str, dict[str, Callable[[int], object]]] = {
        "prove inclusion": {
            frame.OURS: lambda i: merkle.inclusion_proof(nodes, places[i], leaves),
            PEER: lambda i: tree.prove_inclusion(places[i] + 1),
        },
        "verify inclusion": {
            frame.OURS: lambda i: merkle.verify_inclusion(
                hashes[i], places[i], leaves, ours[i], root
            ),
            PEER: lambda i: verify_inclusion(hashes[i], root, theirs[i]),
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
    parser.add_argument("--leaves", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    facts = frame.machine()
    rows = measure(options.leaves, options.repeats)
    path = frame.write("provenance", rows, facts)
    metrics = dict.fromkeys(row.metric for row in rows if "(" not in row.metric)
    for ratio in frame.ratios(rows, metrics):
        print(f"{ratio.metric}: {ratio.peer.system} takes {ratio.value:.1f} times as long")
    print(path)


if __name__ == "__main__":
    main()
