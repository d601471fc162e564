"""Cosignatures and the witness's request, in the C2SP formats."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from federated.errors import InvalidInput, SignatureInvalid
from federated.provenance.checkpoint import Checkpoint, VerifierKey, sign_checkpoint, signed_only_by
from federated.provenance.cosignature import (
    CosignerKey,
    Request,
    cosign,
    cosignature_of,
    witness_name,
)

LOG = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
KEY = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
NAME = witness_name("consortium", "northwind")
TIME = 1679315147
HEAD = Checkpoint("consortium", 20852163, b"\x07" * 32)
NOTE = sign_checkpoint(HEAD, LOG)
LINE = cosign(HEAD.text(), KEY, name=NAME, time=TIME)
COSIGNER = CosignerKey.of(NAME, KEY)


def test_the_signed_bytes_are_the_specifications() -> None:
    """Computed here from the text of c2sp.org/tlog-cosignature, without the module."""
    dash, name, encoded = LINE.rstrip("\n").split(" ")
    blob = base64.b64decode(encoded)
    public = KEY.public_key().public_bytes_raw()
    assert (dash, name) == ("—", "consortium/northwind/witness")
    assert blob[:4] == hashlib.sha256(NAME.encode() + b"\n\x04" + public).digest()[:4]
    assert int.from_bytes(blob[4:12], "big") == TIME
    root = base64.b64encode(b"\x07" * 32).decode()
    message = f"cosignature/v1\ntime 1679315147\nconsortium\n20852163\n{root}\n"
    Ed25519PublicKey.from_public_bytes(public).verify(blob[12:], message.encode())
    assert len(blob) == 4 + 8 + 64


def test_a_note_carries_cosignatures_beside_the_logs_signature() -> None:
    note = NOTE + LINE
    assert cosignature_of(note, COSIGNER) is not None
    assert cosignature_of(NOTE, COSIGNER) is None
    assert cosignature_of(note, CosignerKey.of("consortium/lakeside/witness", KEY)) is None
    log = VerifierKey.of("consortium", LOG)
    assert signed_only_by(note, log) == NOTE
    assert signed_only_by(note, COSIGNER) == NOTE.split("\n\n")[0] + "\n\n" + LINE


def test_a_log_key_is_no_witness_key_and_the_other_way_round() -> None:
    with pytest.raises(InvalidInput, match="type 4"):
        CosignerKey.parse(str(VerifierKey.of(NAME, KEY)))
    with pytest.raises(InvalidInput, match="type 1"):
        VerifierKey.parse(str(COSIGNER))
    assert CosignerKey.parse(str(COSIGNER)) == COSIGNER


@pytest.mark.parametrize("position", [4, 11, 12, 75])
def test_a_changed_time_or_signature_does_not_verify(position: int) -> None:
    blob = bytearray(base64.b64decode(LINE.split(" ")[2]))
    blob[position] ^= 1
    changed = f"— {NAME} {base64.b64encode(blob).decode()}\n"
    with pytest.raises(SignatureInvalid):
        cosignature_of(NOTE + changed, COSIGNER)


def test_a_cosignature_is_of_one_text() -> None:
    other = sign_checkpoint(Checkpoint("consortium", 20852164, HEAD.root), LOG)
    with pytest.raises(SignatureInvalid):
        cosignature_of(other + LINE, COSIGNER)


@given(old=st.integers(0, 2**60), proof=st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_a_request_has_one_spelling(old: int, proof: list[bytes]) -> None:
    request = Request(old, tuple(proof), NOTE)
    assert Request.parse(str(request)) == request


@pytest.mark.parametrize(
    "body",
    [
        "",
        NOTE,
        f"old 01\n\n{NOTE}",
        f"old -1\n\n{NOTE}",
        f"old 1\nAAAA\n\n{NOTE}",
        f"old 1\n{base64.b64encode(bytes(31)).decode()}\n\n{NOTE}",
        f"old 1\n{'=' * 44}\n\n{NOTE}",
        "old 1\n\nno note",
        "old 0\n" + f"{base64.b64encode(bytes(32)).decode()}\n" * 64 + f"\n{NOTE}",
        f"old 1\n\n{NOTE}" + "x" * 2**18,
    ],
)
def test_another_request_is_refused(body: str) -> None:
    with pytest.raises(InvalidInput):
        Request.parse(body)
