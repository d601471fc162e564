"""Append-only Merkle trees: RFC 9162, section 2.1.

A log's tree is kept as a flat map ``key -> hash`` of its *complete* subtrees: that of level l and
index i covers the leaves ``[i * 2**l, (i + 1) * 2**l)``. Entries are written once and never change,
so the map fits an append-only table; every root and proof of every earlier size follows.

A subtree's key is its place in an in-order walk, the numbering of RFC 9420, appendix C: leaf n has
2n, a parent stands between its children. Neighbours in the tree are neighbours in memory, and a
path's keys take two bit operations each: most of a proof's time is waiting for memory.

The functions take any mapping. A caller whose map is a database first asks `keys_needed`
for the entries that a computation reads, and loads them in one query.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import NamedTuple, TypeVar

from federated.errors import InvalidInput, ProofInvalid

Key = int
Place = tuple[int, int]
Nodes = Mapping[Key, bytes]
T = TypeVar("T")

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

# By level, what makes 2n the key of the sibling of leaf n's subtree there: the level's low bits all
# set, then its own bit cleared and the one above flipped. No log comes to 2**64 leaves.
_SIBLING = tuple(((2 << level) - 1, 3 << level) for level in range(64))


def node_key(level: int, index: int) -> Key:
    """The key of the subtree over the leaves [index * 2**level, (index + 1) * 2**level)."""
    return ((2 * index + 1) << level) - 1


def node_place(key: Key) -> Place:
    """The level and index of a key: `node_key` backwards."""
    level = (~key & (key + 1)).bit_length() - 1
    return level, key >> (level + 1)


def leaf_hash(data: bytes) -> bytes:
    """MTH({d}) = SHA-256(0x00 || d), RFC 9162 section 2.1.1."""
    return hashlib.sha256(b"\x00" + data).digest()


# A copy of a hash that has begun takes half the time of a new one.
_node = hashlib.sha256(b"\x01").copy


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 9162 section 2.1.1."""
    node = _node()
    node.update(left + right)
    return node.digest()


def append(nodes: MutableMapping[Key, bytes], size: int, leaf: bytes) -> list[Key]:
    """Add a leaf hash as leaf number `size`; return the keys written.

    Reads only the entries of `frontier_keys(size)` and those that earlier appends wrote.
    """
    key, width, current = 2 * size, 1, leaf
    written = [key]
    nodes[key] = current
    while size & width:
        current = node_hash(nodes[key - 2 * width], current)
        key -= width
        width *= 2
        nodes[key] = current
        written.append(key)
    return written


def frontier_keys(size: int) -> list[Key]:
    """The complete subtrees that a tree of `size` leaves consists of, smallest first."""
    return _subtrees(0, size)


def root(nodes: Nodes, size: int) -> bytes:
    """The root of the first `size` leaves, RFC 9162 section 2.1.1."""
    return _range_hash(nodes, 0, size) if size else EMPTY_ROOT


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Returns the root over leaf *data* in order; for small trees that are not stored."""
    nodes: dict[Key, bytes] = {}
    size = 0
    for data in leaves:
        append(nodes, size, leaf_hash(data))
        size += 1
    return root(nodes, size)


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """PATH(index, D[0:size]) from the leaf upwards, RFC 9162 section 2.1.3.1.

    Raises `InvalidInput` unless 0 <= index < size.
    """
    if not 0 <= index < size:
        raise InvalidInput(f"leaf {index} is not in a tree of {size} leaves")
    return _path_up(nodes, index, 0, size)


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[0:new]), RFC 9162 section 2.1.4.1; empty when old is 0 or equals new.

    Raises `InvalidInput` unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise InvalidInput(f"no consistency proof from size {old} to size {new}")
    if old in (0, new):
        return []
    # The last complete subtree of the old tree, and from there the path to the new root. Where it
    # is the whole old tree, the verifier has its hash.
    width = old & -old
    first = [] if width == old else [nodes[2 * old - width - 1]]
    return first + _path_up(nodes, old - 1, width.bit_length() - 1, new)


def _path_up(nodes: Nodes, leaf: int, level: int, size: int) -> list[bytes]:
    """The siblings from the complete subtree of `level` around a leaf up to the root."""
    last, key = size - 1, 2 * leaf
    fork = (leaf ^ last).bit_length()
    path = []
    if fork:
        # The last leaf is under the topmost sibling, which alone may be incomplete.
        path = [nodes[(key | low) ^ flip] for low, flip in _SIBLING[level : fork - 1]]
        path.append(_range_hash(nodes, last >> (fork - 1) << (fork - 1), size))
    # From there on the path is that of the last leaf: what is left of it.
    path += [nodes[left] for left in _subtrees(0, last >> fork << fork)]
    return path


class Step(NamedTuple):
    """One level of an inclusion proof: the sibling, on which side it is, and their node's hash."""

    sibling: bytes
    is_left: bool
    parent: bytes


def inclusion_path(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> list[Step]:
    """The levels from a leaf to the root, as RFC 9162 section 2.1.3.2 walks them; unchecked."""
    steps: list[Step] = []
    position, last, current = index, size - 1, leaf
    for sibling in proof:
        is_left = bool(position & 1) or position == last
        current = node_hash(sibling, current) if is_left else node_hash(current, sibling)
        if is_left:
            while position and not position & 1:
                position, last = position >> 1, last >> 1
        position, last = position >> 1, last >> 1
        steps.append(Step(sibling, is_left, current))
    return steps


class InclusionVerifier:
    """Checks many leaves of one tree; hashes what their paths share once.

    A hash that an accepted proof led through, or gave as a sibling, is one that the root commits
    to, and so is the rest of the path from there. Where a later path meets such a place, it must
    agree with what is known: accepting another path would take a collision of SHA-256.
    """

    def __init__(self, size: int, root: bytes) -> None:
        self._size = size
        self._root = root
        self._known: dict[Place, tuple[bytes, list[bytes]]] = {}
        """By place, its hash and the rest of its path."""

    def verify(self, leaf: bytes, index: int, proof: Sequence[bytes]) -> None:
        """Check that leaf hash `leaf` is leaf `index` of the tree; RFC 9162 section 2.1.3.2.

        Raises `ProofInvalid` if it is not.
        """
        if not 0 <= index < self._size:
            raise ProofInvalid(f"leaf {index} is not in a tree of {self._size} leaves")
        path, known, begin = list(proof), self._known, _node
        met = known.get((0, index))
        if met is not None:
            return self._agree(met, leaf, path)
        # Written out, without a call a node: this loop is most of a verifier's time.
        position, last, level, current = index, self._size - 1, 0, leaf
        found: list[tuple[Place, bytes, list[bytes]]] = [((0, index), leaf, path)]
        for at, sibling in enumerate(path, start=1):
            if len(sibling) != HASH_SIZE:
                raise ProofInvalid(f"a proof's hash has {len(sibling)} bytes, not {HASH_SIZE}")
            if not last:
                raise ProofInvalid("the inclusion proof is too long")
            node, rest = begin(), path[at:]
            if position & 1 or position == last:
                # The lone right edge joins the tree where its sibling is complete.
                while not position & 1:
                    position, last, level = position >> 1, last >> 1, level + 1
                found.append(((level, position), current, [sibling, *rest]))
                node.update(sibling + current)
            else:
                node.update(current + sibling)
            found.append(((level, position ^ 1), sibling, [current, *rest]))
            current = node.digest()
            position, last, level = position >> 1, last >> 1, level + 1
            met = known.get((level, position))
            if met is not None:
                self._agree(met, current, rest)
                break
            found.append(((level, position), current, rest))
        else:
            if last:
                raise ProofInvalid("the inclusion proof is too short")
            self._agree((self._root, []), current, [])
        for place, value, onward in found:
            known[place] = (value, onward)

    @staticmethod
    def _agree(met: tuple[bytes, list[bytes]], value: bytes, rest: list[bytes]) -> None:
        if met != (value, rest):
            raise ProofInvalid("the inclusion proof leads to another root")


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `new` leaves extends the tree of `old`; RFC 9162 section 2.1.4.2.

    Raises `ProofInvalid` if it does not.
    """
    if not 0 <= old <= new:
        raise ProofInvalid(f"a log cannot go from size {old} to size {new}")
    if old in (0, new):
        if proof:
            raise ProofInvalid("the consistency proof should be empty")
        if old == new and old_root != new_root:
            raise ProofInvalid(f"two roots for the same size {old}")
        if old == 0 and old_root != EMPTY_ROOT:
            raise ProofInvalid("an empty log has another root")
        return
    path = list(_hashes(proof))
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise ProofInvalid("the consistency proof is too short")
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = path[0]
    begin = _node
    for sibling in path[1:]:
        if not last:
            raise ProofInvalid("the consistency proof is too long")
        node = begin()
        if position & 1 or position == last:
            node.update(sibling + second)
            old_node = begin()
            old_node.update(sibling + first)
            first = old_node.digest()
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            node.update(second + sibling)
        second = node.digest()
        position >>= 1
        last >>= 1
    if last != 0:
        raise ProofInvalid("the consistency proof is too short")
    if first != old_root:
        raise ProofInvalid(f"the proof leads to another root for size {old}")
    if second != new_root:
        raise ProofInvalid(f"the proof leads to another root for size {new}")


def keys_needed(computation: Callable[[Nodes], T]) -> set[Key]:
    """The keys that `computation` reads; which ones never depends on the hashes."""
    recorder = _Recorder()
    computation(recorder)
    return recorder.asked


class _Recorder(Mapping[Key, bytes]):
    def __init__(self) -> None:
        self.asked: set[Key] = set()

    def __getitem__(self, key: Key) -> bytes:
        self.asked.add(key)
        return bytes(HASH_SIZE)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.asked)

    def __len__(self) -> int:
        return len(self.asked)


def _range_hash(nodes: Nodes, start: int, end: int) -> bytes:
    """MTH(D[start:end]), RFC 9162 section 2.1.1, for the ranges of `_subtrees`."""
    smallest, *larger = _subtrees(start, end)
    current, begin = nodes[smallest], _node
    for left in larger:
        node = begin()
        node.update(nodes[left] + current)
        current = node.digest()
    return current


def _subtrees(start: int, end: int) -> list[Key]:
    """The complete subtrees of the leaves [start, end), smallest first.

    `start` is a multiple of a power of two that the range is not longer than.
    """
    keys, rest = [], end - start
    while rest:
        width = rest & -rest
        rest -= width
        end -= width
        keys.append(2 * end + width - 1)
    return keys


def _hashes(proof: Sequence[bytes]) -> Iterator[bytes]:
    for item in proof:
        if len(item) != HASH_SIZE:
            raise ProofInvalid(f"a proof's hash has {len(item)} bytes, not {HASH_SIZE}")
        yield item
