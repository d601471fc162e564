"""RFC 9162 trees: published vectors, pymerkle's roots, and every small case."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from federated.errors import InvalidInput, ProofInvalid
from federated.provenance import merkle

# Certificate Transparency's reference tests (RFC 6962 hashes, the same as RFC 9162's).
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS_TEXT = """
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
    fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125
    aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77
    d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7
    4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4
    76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef
    ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c
    5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328
"""
ROOTS = ROOTS_TEXT.split()
INCLUSION = {
    (0, 8): """
        96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7
        5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e
        6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4
    """,
    (5, 8): """
        bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b
        ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0
        d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7
    """,
    (2, 3): "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
}
CONSISTENCY = {
    (6, 8): """
        0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a
        ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0
        d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7
    """,
    (1, 1): "",
    (1, 8): """
        96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7
        5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e
        6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4
    """,
}


def tree(leaves):
    nodes = {}
    for size, data in enumerate(leaves):
        merkle.append(nodes, size, merkle.leaf_hash(data))
    return nodes


def numbered(count):
    return [b"leaf %d" % number for number in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size):
    assert merkle.root(tree(LEAVES), size).hex() == ROOTS[size]
    assert merkle.root_of(LEAVES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_published_inclusion_proofs(index, size):
    path = merkle.inclusion_proof(tree(LEAVES), index, size)
    assert [item.hex() for item in path] == INCLUSION[index, size].split()


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_published_consistency_proofs(old, new):
    path = merkle.consistency_proof(tree(LEAVES), old, new)
    assert [item.hex() for item in path] == CONSISTENCY[old, new].split()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=40), max_size=80))
def test_roots_are_those_of_pymerkle(leaves):
    oracle = InmemoryTree(algorithm="sha256")
    nodes = tree(leaves)
    for size, data in enumerate(leaves, start=1):
        oracle.append_entry(data)
        assert merkle.root(nodes, size) == oracle.get_root()


def test_every_small_proof_verifies_and_every_change_is_noticed():
    chance = random.Random(1)
    data = numbered(20)
    nodes = tree(data)
    for size in range(1, 21):
        root = merkle.root(nodes, size)
        for index in range(size):
            leaf = merkle.leaf_hash(data[index])
            path = merkle.inclusion_proof(nodes, index, size)
            merkle.InclusionVerifier(size, root).verify(leaf, index, path)
            for wrong in changed(path, chance):
                refuses_inclusion(leaf, index, size, wrong, root)
            refuses_inclusion(merkle.leaf_hash(b"other"), index, size, path, root)
            refuses_inclusion(leaf, (index + 1) % (size + 1), size, path, root)
            refuses_inclusion(leaf, index, size, path, bytes(32))


def test_every_small_consistency_proof_verifies_and_every_change_is_noticed():
    chance = random.Random(2)
    nodes = tree(numbered(20))
    roots = [merkle.root(nodes, size) for size in range(21)]
    for new in range(21):
        for old in range(new + 1):
            path = merkle.consistency_proof(nodes, old, new)
            merkle.verify_consistency(old, new, roots[old], roots[new], path)
            for wrong in changed(path, chance):
                refuses_consistency(old, new, roots[old], roots[new], wrong)
            refuses_consistency(old, new, b"\x01" * 32, roots[new], path)
            if old:
                refuses_consistency(old, new, roots[old], b"\x01" * 32, path)
            refuses_consistency(new, old, roots[new], roots[old], path, when=old != new)


def test_a_rewritten_leaf_breaks_consistency():
    before, after = numbered(9), numbered(13)
    after[4] = b"rewritten"
    old_root, forged = merkle.root(tree(before), 9), tree(after)
    path = merkle.consistency_proof(forged, 9, 13)
    refuses_consistency(9, 13, old_root, merkle.root(forged, 13), path)


@given(st.integers(1, 2**40), st.data())
def test_proofs_of_a_large_tree_touch_few_nodes(size, data):
    index = data.draw(st.integers(0, size - 1))
    keys = merkle.keys_needed(lambda nodes: merkle.inclusion_proof(nodes, index, size))
    assert len(keys) <= 2 * size.bit_length()
    old = data.draw(st.integers(0, size))
    keys = merkle.keys_needed(lambda nodes: merkle.consistency_proof(nodes, old, size))
    assert len(keys) <= 3 * size.bit_length()
    assert merkle.keys_needed(lambda nodes: merkle.root(nodes, size)) == set(
        merkle.frontier_keys(size)
    )


@given(st.integers(0, 62), st.integers(0, 2**62))
def test_a_key_is_a_place_in_order(level, index):
    key = merkle.node_key(level, index)
    assert merkle.node_place(key) == (level, index)
    if level:
        left, right = (merkle.node_key(level - 1, 2 * index + side) for side in (0, 1))
        assert (left + right) // 2 == key
        assert left < key < right


def test_the_keys_of_a_complete_tree_are_its_first_numbers():
    assert sorted(tree(numbered(64))) == list(range(127))


@given(st.integers(0, 70), st.integers(0, 70))
def test_appending_needs_only_the_frontier(size, more):
    data = numbered(size + more)
    whole = tree(data)
    nodes = {key: whole[key] for key in merkle.frontier_keys(size)}
    written = []
    for index in range(size, size + more):
        written += merkle.append(nodes, index, merkle.leaf_hash(data[index]))
    assert {key: nodes[key] for key in written} == {
        key: value for key, value in whole.items() if key not in tree(data[:size])
    }


def test_impossible_proofs_are_refused():
    nodes = tree(numbered(4))
    for index, size in ((4, 4), (-1, 4), (0, 0)):
        with pytest.raises(InvalidInput):
            merkle.inclusion_proof(nodes, index, size)
    for old, new in ((5, 4), (-1, 4)):
        with pytest.raises(InvalidInput):
            merkle.consistency_proof(nodes, old, new)
    with pytest.raises(ProofInvalid, match="31 bytes"):
        merkle.InclusionVerifier(2, bytes(32)).verify(bytes(32), 0, [bytes(31)])
    with pytest.raises(ProofInvalid, match="another root"):
        merkle.verify_consistency(0, 3, b"\x01" * 32, bytes(32), [])


def changed(path, chance):
    """Proofs that differ from `path`: longer, shorter, a bit flipped, two parts swapped."""
    yield [*path, bytes(32)]
    if path:
        yield path[:-1]
        yield path[1:]
        place = chance.randrange(len(path))
        flipped = bytes([path[place][0] ^ 1]) + path[place][1:]
        yield [*path[:place], flipped, *path[place + 1 :]]
    if len(path) > 1:
        yield path[::-1]


def refuses_inclusion(*arguments):
    with pytest.raises(ProofInvalid):
        leaf, index, size, path, root = arguments
        merkle.InclusionVerifier(size, root).verify(leaf, index, path)


def refuses_consistency(*arguments, when=True):
    if when:
        with pytest.raises(ProofInvalid):
            merkle.verify_consistency(*arguments)


@pytest.fixture(scope="module")
def grown() -> tuple[InmemoryTree, dict]:
    """Ten thousand leaves, in pymerkle's tree and in ours."""
    tree, nodes = InmemoryTree(algorithm="sha256"), {}
    for number in range(10_000):
        data = number.to_bytes(4, "big")
        tree.append_entry(data)
        merkle.append(nodes, number, merkle.leaf_hash(data))
    return tree, nodes


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_proof_up_to_ten_thousand_leaves(grown, data) -> None:
    tree, nodes = grown
    size = data.draw(st.integers(1, 10_000))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, size))
    root = merkle.root(nodes, size)
    assert root == tree.get_root(size)
    leaf = merkle.leaf_hash(index.to_bytes(4, "big"))
    proof = merkle.inclusion_proof(nodes, index, size)
    merkle.InclusionVerifier(size, root).verify(leaf, index, proof)
    with pytest.raises(ProofInvalid):
        merkle.InclusionVerifier(size, root).verify(merkle.leaf_hash(b"another"), index, proof)
    path = merkle.consistency_proof(nodes, old, size)
    merkle.verify_consistency(old, size, merkle.root(nodes, old), root, path)
    if 0 < old < size:
        with pytest.raises(ProofInvalid):
            merkle.verify_consistency(old, size, merkle.EMPTY_ROOT, root, path)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 11, 64, 100, 131])
def test_a_verifier_of_many_leaves_says_what_one_by_one_says(size: int) -> None:
    nodes: dict = {}
    hashes = [merkle.leaf_hash(bytes([n])) for n in range(size)]
    for index, leaf in enumerate(hashes):
        merkle.append(nodes, index, leaf)
    root = merkle.root(nodes, size)
    rng = random.Random(size)
    order = [*range(size), *rng.sample(range(size), min(size, 20))]
    rng.shuffle(order)
    many = merkle.InclusionVerifier(size, root)
    for index in order:
        proof = merkle.inclusion_proof(nodes, index, size)
        for bent in bent_proofs(hashes[index], index, proof, rng):
            with pytest.raises(ProofInvalid):
                merkle.InclusionVerifier(size, root).verify(bent[0], bent[1], bent[2])
            with pytest.raises(ProofInvalid):
                many.verify(*bent)
        many.verify(hashes[index], index, proof)


def bent_proofs(
    leaf: bytes, index: int, proof: list[bytes], rng: random.Random
) -> list[tuple[bytes, int, list[bytes]]]:
    """Claims that differ from a true one in one place."""
    bent = [
        (bytes(32), index, proof),
        (leaf, index, [*proof, bytes(32)]),
        (leaf, index + 2**20, proof),
    ]
    if proof:
        at = rng.randrange(len(proof))
        bent += [
            (leaf, index, [*proof[:at], bytes(32), *proof[at + 1 :]]),
            (leaf, index, [*proof[:at], proof[at][:31], *proof[at + 1 :]]),
            (leaf, index, proof[:-1]),
            (leaf, index ^ 1, proof),
        ]
    return bent
