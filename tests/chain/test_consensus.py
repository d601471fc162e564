"""Clique's rules on chains with one and with several signers."""

import pytest
from eth.consensus.clique._utils import get_block_signer
from eth.db.atomic import AtomicDB
from eth_keys import keys
from eth_utils import ValidationError

from portal.chain import consensus
from portal.chain.consensus import GENESIS_TIME, chain_id_of, next_header, open_chain, seal

KEYS = sorted(
    (keys.PrivateKey(bytes([number]) * 32) for number in range(1, 6)),
    key=lambda key: key.public_key.to_canonical_address(),
)


def extend(chain, key):
    number = chain.get_canonical_head().block_number + 1
    header = next_header(chain, key.public_key.to_canonical_address(), GENESIS_TIME + number)
    vm = chain.get_vm(header)
    final = vm.finalize_block(vm.get_block()).block
    chain.import_block(final.copy(header=seal(final.header, key)))


def make(count):
    signers = [key.public_key.to_canonical_address() for key in KEYS[:count]]
    return open_chain(AtomicDB(), "test", signers)


def test_chain_ids_are_stable():
    assert chain_id_of("quasim_provenance") == 1946471137
    assert 0 < chain_id_of("x") <= 2**31


def test_one_signer_signs_every_block():
    chain = make(1)
    for _ in range(3):
        extend(chain, KEYS[0])
    head = chain.get_canonical_head()
    assert head.block_number == 3
    assert get_block_signer(head) == KEYS[0].public_key.to_canonical_address()


@pytest.mark.parametrize(("count", "pause"), [(2, 1), (3, 1), (4, 2), (5, 2)])
def test_a_signer_pauses_for_half_of_the_signers(count, pause):
    chain = make(count)
    extend(chain, KEYS[0])
    for other in range(1, pause + 1):
        with pytest.raises(ValidationError, match="also signed"):
            extend(chain, KEYS[0])
        extend(chain, KEYS[other])
    extend(chain, KEYS[0])
    assert chain.get_canonical_head().block_number == pause + 2


def test_a_stranger_cannot_sign():
    chain = make(1)
    with pytest.raises(ValidationError, match="not in"):
        extend(chain, KEYS[3])
    assert chain.get_canonical_head().block_number == 0


def test_epoch_blocks_repeat_the_signers(monkeypatch):
    monkeypatch.setattr(consensus.CliqueConsensusContext, "epoch_length", 3)
    chain = make(1)
    for _ in range(7):
        extend(chain, KEYS[0])
    assert chain.get_canonical_head().block_number == 7
