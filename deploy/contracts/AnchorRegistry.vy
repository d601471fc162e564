# pragma version 0.4.3
# pragma evm-version london
"""
@title AnchorRegistry
@license GPL-3.0-or-later
@notice Roots over a consortium's log checkpoints. A root is written once; sizes only grow.
"""

event Anchored:
    origin_hash: indexed(bytes32)
    size: uint64
    root: bytes32
    anchorer: indexed(address)

struct Head:
    size: uint64
    root: bytes32
    block_number: uint256

authorized: public(HashMap[address, bool])
root_at: public(HashMap[bytes32, HashMap[uint64, bytes32]])
heads: HashMap[bytes32, Head]


@deploy
def __init__(anchorers: DynArray[address, 16]):
    assert len(anchorers) > 0, "no anchorer"
    for anchorer: address in anchorers:
        self.authorized[anchorer] = True


@external
def anchor(origin_hash: bytes32, size: uint64, root: bytes32):
    """
    @notice Write the root over `size` events of a log.
    @param origin_hash SHA-256 of the log's origin
    @param size Number of events under the root; more than at the last anchor
    @param root Merkle root (RFC 9162)
    """
    assert self.authorized[msg.sender], "not an anchorer"
    assert size > self.heads[origin_hash].size, "size must grow"
    assert root != empty(bytes32), "empty root"
    self.heads[origin_hash] = Head(size=size, root=root, block_number=block.number)
    self.root_at[origin_hash][size] = root
    log Anchored(origin_hash=origin_hash, size=size, root=root, anchorer=msg.sender)


@external
@view
def latest(origin_hash: bytes32) -> Head:
    """
    @notice The last anchor of a log; size 0 if there is none.
    """
    return self.heads[origin_hash]
