"""The rules of the network: London EVM, Clique (EIP-225), no fees, identity from the name.

py-evm's Clique lacks EIP-225's rule that a signer may seal one of any ``SIGNERS // 2 + 1``
consecutive blocks; `RecentlySignedClique` adds it.
"""

import hashlib
from collections.abc import Iterable

from eth.abc import AtomicDatabaseAPI, BlockHeaderAPI, DatabaseAPI
from eth.chains.base import Chain
from eth.consensus.clique import CliqueConsensus, CliqueConsensusContext
from eth.consensus.clique._utils import get_block_signer, is_in_turn, sign_block_header
from eth.consensus.clique.clique import configure_header
from eth.consensus.clique.constants import (
    NONCE_AUTH,
    NONCE_DROP,
    SIGNATURE_LENGTH,
    VANITY_LENGTH,
)
from eth.constants import ZERO_ADDRESS, ZERO_HASH32
from eth.db.chain import ChainDB
from eth.db.schema import SchemaV1
from eth.typing import HeaderParams
from eth.vm.forks.london import LondonVM
from eth_keys.datatypes import PrivateKey
from eth_typing import Address, Hash32
from eth_utils import ValidationError, encode_hex

GAS_LIMIT = 30_000_000
GENESIS_TIME = 1_700_000_000
IN_TURN, OUT_OF_TURN = 2, 1


class RecentlySignedClique(CliqueConsensus):
    @classmethod
    def get_fee_recipient(cls, header: BlockHeaderAPI) -> Address:
        """Nobody: there are no fees, and the COINBASE opcode must not depend on the seal."""
        return header.coinbase

    def validate_seal_extension(
        self, header: BlockHeaderAPI, parents: Iterable[BlockHeaderAPI]
    ) -> None:
        known = tuple(parents)
        super().validate_seal_extension(header, known)
        if header.block_number == 0:
            return
        snapshot = self._snapshot_manager.get_or_create_snapshot(
            header.block_number - 1, header.parent_hash, known
        )
        signer = get_block_signer(header)
        ancestor = header
        for _ in range(len(snapshot.signers) // 2):
            if ancestor.block_number <= 1:
                return
            ancestor = self._snapshot_manager._lookup_header(ancestor.parent_hash, known)
            if get_block_signer(ancestor) == signer:
                raise ValidationError(
                    f"signer {encode_hex(signer)} of block {header.block_number} also signed "
                    f"block {ancestor.block_number}"
                )


ProofOfAuthorityVM = LondonVM.configure(
    __name__="ProofOfAuthorityVM",
    extra_data_max_bytes=65535,
    consensus_class=RecentlySignedClique,
    configure_header=configure_header,
    get_block_reward=staticmethod(int),
    get_uncle_reward=staticmethod(int),
)


class ForkChoiceDB(ChainDB):
    """The heaviest chain is the head; of two that weigh the same, the one with the lower hash.

    py-evm keeps the first that it saw. Two out-of-turn blocks of one height weigh the same, and
    their signers, who may not sign the next, would keep apart for good where they are the only
    ones left.
    """

    @classmethod
    def _persist_header_chain(
        cls,
        db: DatabaseAPI,
        headers: Iterable[BlockHeaderAPI],
        genesis_parent_hash: Hash32,
    ) -> tuple[tuple[BlockHeaderAPI, ...], tuple[BlockHeaderAPI, ...]]:
        known = tuple(headers)
        new, old = super()._persist_header_chain(db, known, genesis_parent_hash)
        if new or not known:
            return new, old
        head, last = cls._get_canonical_head(db), known[-1]
        if cls._get_score(db, head.hash) != cls._get_score(db, last.hash) or head.hash <= last.hash:
            return new, old
        return cls._set_as_canonical_chain_head(db, last, genesis_parent_hash)


def chain_id_of(network: str) -> int:
    """1 to 2**31, from SHA-256 of the network's name."""
    digest = hashlib.sha256(f"federated-simulation-cloud/chain/{network}".encode()).digest()
    return 1 + (int.from_bytes(digest[:4], "big") >> 1)


def chain_class(network: str) -> type[Chain]:
    return Chain.configure(
        __name__="ProofOfAuthorityChain",
        vm_configuration=((0, ProofOfAuthorityVM),),
        chain_id=chain_id_of(network),
        chaindb_class=ForkChoiceDB,
        consensus_context_class=CliqueConsensusContext,
    )


def genesis(network: str, signers: Iterable[Address]) -> dict[str, HeaderParams]:
    """The genesis header's fields; base fee zero stays zero while blocks are at most half full."""
    vanity = hashlib.sha256(network.encode()).digest()
    return {
        "difficulty": 1,
        "gas_limit": GAS_LIMIT,
        "base_fee_per_gas": 0,
        "coinbase": ZERO_ADDRESS,
        "nonce": NONCE_DROP,
        "mix_hash": ZERO_HASH32,
        "timestamp": GENESIS_TIME,
        "extra_data": vanity + b"".join(sorted(signers)) + bytes(SIGNATURE_LENGTH),
    }


def open_chain(db: AtomicDatabaseAPI, network: str, signers: Iterable[Address]) -> Chain:
    """The network's chain in `db`, made from its genesis if `db` is empty."""
    cls = chain_class(network)
    if SchemaV1.make_canonical_head_hash_lookup_key() not in db:
        cls.from_genesis(db, genesis(network, signers))
    return cls(db)


def clique_of(chain: Chain) -> tuple[RecentlySignedClique, CliqueConsensusContext]:
    """The chain's rules and their context, which `chain_class` chooses."""
    context = chain.consensus_context
    assert isinstance(context, CliqueConsensusContext)
    return RecentlySignedClique(context), context


def signers_after(chain: Chain, header: BlockHeaderAPI) -> tuple[Address, ...]:
    """Returns who may seal the block after this one, in the order of their turns."""
    snapshot = clique_of(chain)[0].get_snapshot(header)
    return tuple(snapshot.get_sorted_signers())


def turns_until(chain: Chain, signer: Address) -> int | None:
    """Return how many turns the next block is before this signer's; None if it may not seal."""
    head = chain.get_canonical_head()
    signers = signers_after(chain, head)
    if signer not in signers:
        return None
    ancestor = head
    for _ in range(len(signers) // 2):
        if ancestor.block_number == 0:
            break
        if get_block_signer(ancestor) == signer:
            return None
        ancestor = chain.get_block_header_by_hash(ancestor.parent_hash)
    return (signers.index(signer) - (head.block_number + 1)) % len(signers)


def next_header(
    chain: Chain, signer: Address, timestamp: int, vote: tuple[Address, bool] | None = None
) -> BlockHeaderAPI:
    """The unsealed header of the block after the head, with the signer's vote if it has one.

    A vote is for (True) or against (False) an address as signer; more than half of the signers
    decide (EIP-225).
    """
    head = chain.get_canonical_head()
    clique, context = clique_of(chain)
    at_epoch = (head.block_number + 1) % context.epoch_length == 0
    subject, wanted = vote if vote is not None and not at_epoch else (ZERO_ADDRESS, False)
    header = chain.create_header_from_parent(
        head,
        coinbase=subject,
        nonce=NONCE_AUTH if wanted else NONCE_DROP,
        timestamp=timestamp,
        gas_limit=head.gas_limit,
        difficulty=IN_TURN,
        extra_data=_extra_data(head, clique, at_epoch=at_epoch),
    )
    in_turn = is_in_turn(signer, clique.get_snapshot(head), header)
    return header.copy(difficulty=IN_TURN if in_turn else OUT_OF_TURN)


def seal(header: BlockHeaderAPI, key: PrivateKey) -> BlockHeaderAPI:
    return sign_block_header(header, key)


def _extra_data(head: BlockHeaderAPI, clique: RecentlySignedClique, *, at_epoch: bool) -> bytes:
    """Vanity and room for the seal; every epoch's first block repeats the signers."""
    signers = clique.get_snapshot(head).get_sorted_signers() if at_epoch else ()
    return bytes(VANITY_LENGTH) + b"".join(signers) + bytes(SIGNATURE_LENGTH)
