"""The keys of a node: its authority's and its anchorer's."""

import os
import secrets
from pathlib import Path

from eth_keys import keys
from eth_keys.datatypes import PrivateKey
from eth_typing import Address

SIGNER, ANCHORER = "signer.key", "anchorer.key"


def load_key(path: Path) -> PrivateKey:
    """A secp256k1 key in hex, made at first use, readable by its owner alone."""
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    return keys.PrivateKey(bytes.fromhex(path.read_text().strip()))


def address_of(key: PrivateKey) -> Address:
    """The last 20 bytes of the Keccak hash of the public key."""
    return Address(key.public_key.to_canonical_address())


def signer_address(state: Path) -> Address:
    """The address by which the node in this state directory seals; its key is made if need be."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return address_of(load_key(state / SIGNER))
