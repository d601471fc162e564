# pragma version 0.4.3
# pragma evm-version london
"""
@title AnchorRegistry
@license GPL-3.0-or-later
@notice Roots over a consortium's log checkpoints. A root is written once; sizes only grow. Who may
    write is changed by `quorum` of the members, and by nobody else: there is no owner.
"""

event Anchored:
    origin_hash: indexed(bytes32)
    size: uint64
    root: bytes32
    anchorer: indexed(address)

event Voted:
    kind: indexed(Change)
    subject: indexed(address)
    quorum: uint256
    generation: uint256
    member: indexed(address)
    votes: uint256

event Changed:
    kind: indexed(Change)
    subject: indexed(address)
    quorum: uint256
    generation: uint256

struct Head:
    size: uint64
    root: bytes32
    block_number: uint256

flag Change:
    ADD_ANCHORER
    REMOVE_ANCHORER
    ADD_MEMBER
    REMOVE_MEMBER
    SET_QUORUM

MAX_MEMBERS: constant(uint256) = 64

authorized: public(HashMap[address, bool])
is_member: public(HashMap[address, bool])
member_count: public(uint256)
quorum: public(uint256)
# Counts the changes made. A vote is for one generation: every change drops all votes that wait, so
# that none outlives the circumstances it was given in, or the membership of who gave it.
generation: public(uint256)
votes: HashMap[bytes32, uint256]
has_voted: HashMap[bytes32, HashMap[address, bool]]
root_at: public(HashMap[bytes32, HashMap[uint64, bytes32]])
heads: HashMap[bytes32, Head]


@deploy
def __init__(
    anchorers: DynArray[address, 16], members: DynArray[address, MAX_MEMBERS], quorum: uint256
):
    assert len(anchorers) > 0, "no anchorer"
    assert quorum > 0 and quorum <= len(members), "quorum must be 1 to the members"
    for anchorer: address in anchorers:
        self.authorized[anchorer] = True
    for member: address in members:
        assert member != empty(address), "empty address"
        assert not self.is_member[member], "member twice"
        self.is_member[member] = True
    self.member_count = len(members)
    self.quorum = quorum


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
def vote(kind: Change, subject: address, quorum: uint256, generation: uint256):
    """
    @notice A member's vote for a change. The vote that completes the quorum makes the change.
    @param kind What is changed
    @param subject Whom it concerns; the empty address for SET_QUORUM
    @param quorum The new quorum for SET_QUORUM, else 0
    @param generation The present one: a vote that was delayed past a change is refused
    """
    assert self.is_member[msg.sender], "not a member"
    assert generation == self.generation, "another generation"
    self._check(kind, subject, quorum)
    key: bytes32 = self._key(kind, subject, quorum)
    assert not self.has_voted[key][msg.sender], "voted already"
    self.has_voted[key][msg.sender] = True
    self.votes[key] += 1
    log Voted(
        kind=kind,
        subject=subject,
        quorum=quorum,
        generation=generation,
        member=msg.sender,
        votes=self.votes[key],
    )
    if self.votes[key] >= self.quorum:
        self._change(kind, subject, quorum)


@external
def withdraw(kind: Change, subject: address, quorum: uint256):
    """
    @notice Take a vote back while its change has not been made.
    """
    key: bytes32 = self._key(kind, subject, quorum)
    assert self.has_voted[key][msg.sender], "no vote"
    self.has_voted[key][msg.sender] = False
    self.votes[key] -= 1


@external
@view
def latest(origin_hash: bytes32) -> Head:
    """
    @notice The last anchor of a log; size 0 if there is none.
    """
    return self.heads[origin_hash]


@external
@view
def votes_for(kind: Change, subject: address, quorum: uint256) -> uint256:
    """
    @notice The votes that wait for a change in this generation.
    """
    return self.votes[self._key(kind, subject, quorum)]


@internal
@view
def _key(kind: Change, subject: address, quorum: uint256) -> bytes32:
    return keccak256(abi_encode(kind, subject, quorum, self.generation))


@internal
@view
def _check(kind: Change, subject: address, quorum: uint256):
    """
    @notice Refuse what would change nothing, or would leave a quorum that nobody can reach.
    """
    if kind == Change.SET_QUORUM:
        assert subject == empty(address), "no subject here"
        assert quorum > 0 and quorum <= self.member_count, "quorum must be 1 to the members"
        assert quorum != self.quorum, "nothing changes"
        return
    assert subject != empty(address), "empty address"
    assert quorum == 0, "no quorum here"
    if kind == Change.ADD_ANCHORER:
        assert not self.authorized[subject], "nothing changes"
    elif kind == Change.REMOVE_ANCHORER:
        assert self.authorized[subject], "nothing changes"
    elif kind == Change.ADD_MEMBER:
        assert not self.is_member[subject], "nothing changes"
        assert self.member_count < MAX_MEMBERS, "too many members"
    elif kind == Change.REMOVE_MEMBER:
        assert self.is_member[subject], "nothing changes"
        assert self.member_count > self.quorum, "quorum would be above the members"
    else:
        raise "unknown change"


@internal
def _change(kind: Change, subject: address, quorum: uint256):
    if kind == Change.SET_QUORUM:
        self.quorum = quorum
    elif kind == Change.ADD_ANCHORER:
        self.authorized[subject] = True
    elif kind == Change.REMOVE_ANCHORER:
        self.authorized[subject] = False
    elif kind == Change.ADD_MEMBER:
        self.is_member[subject] = True
        self.member_count += 1
    else:
        self.is_member[subject] = False
        self.member_count -= 1
    log Changed(kind=kind, subject=subject, quorum=quorum, generation=self.generation)
    self.generation += 1
