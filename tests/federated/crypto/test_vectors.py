"""The published numbers: what another implementation has to reproduce."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from federated.crypto import envelope, proofs, share_proofs, signatures, threshold
from federated.crypto.packing import SlotLayout
from federated.crypto.paillier import Encryption, PublicKey
from federated.crypto.transcript import Transcript
from tests.federated.crypto.masking_vectors import LAYOUTS, masked_vector
from tests.federated.crypto.small_key import VECTORS, small_key


@pytest.fixture(scope="module")
def vectors():
    return json.loads((VECTORS / "crypto.json").read_text())


def hexes(values):
    return [int(value, 16) for value in values]


def test_transcript(vectors):
    vector = vectors["transcript"]
    read = {"int": lambda v: int(v, 16), "bytes": bytes.fromhex, "str": str}
    transcript = Transcript(vector["domain"].encode())
    for label, kind, value in vector["appends"]:
        transcript.append(label, read[kind](value))
    for label, bits, expected in vector["challenges"]:
        assert transcript.challenge(label, bits) == int(expected, 16)


def test_packing(vectors):
    vector = vectors["packing"]
    names = ("contributors", "clamp", "sigma", "modulus_bits")
    layout = SlotLayout(**{name: vector[name] for name in names})
    assert (layout.bound, layout.slot_bits, layout.slots) == tuple(
        vector[name] for name in ("bound", "slot_bits", "slots")
    )
    assert layout.pack(vector["values"]) == hexes(vector["plaintexts"])


def test_paillier(vectors):
    vector = vectors["paillier"]
    key = PublicKey(int(vector["n"], 16))
    assert key == small_key().dealt.public_key
    assert key.fingerprint() == vector["fingerprint"]
    assert key.h0 == int(vector["h0"], 16)
    ciphertexts = [
        key.encrypt(m, exponent=exponent).ciphertext
        for m, exponent in zip(hexes(vector["messages"]), hexes(vector["exponents"]), strict=True)
    ]
    assert ciphertexts == hexes(vector["ciphertexts"])
    assert key.multiply(ciphertexts) == int(vector["product"], 16)


def test_plaintext_proof(vectors):
    key = small_key().dealt.public_key
    paillier, vector = vectors["paillier"], vectors["plaintext_proof"]
    ciphertexts = hexes(paillier["ciphertexts"])
    encryptions = [
        Encryption(c, exponent)
        for c, exponent in zip(ciphertexts, hexes(paillier["exponents"]), strict=True)
    ]
    bound = {
        "context": vector["context"].encode(),
        "organization": vector["organization"],
    }
    made = proofs._prove_with(
        key,
        hexes(paillier["messages"]),
        encryptions,
        tuple(hexes(vector["nonce"])),
        **bound,
    )
    assert made.encode(key).hex() == vector["proof"]
    proofs.verify(key, ciphertexts, made, **bound)


@pytest.mark.parametrize("width", LAYOUTS)
def test_masked_vector(width):
    expected = json.loads((VECTORS / "masking.json").read_text())
    assert masked_vector(width) == expected[f"{width} bits"]


def test_threshold_partials(vectors):
    dealt = small_key().dealt
    ciphertexts = hexes(vectors["paillier"]["ciphertexts"])
    vector = vectors["threshold"]
    assert dealt.verification.fingerprint() == vector["fingerprint"]
    partials = {
        share.index: threshold.partial_decrypt(share, ciphertexts) for share in dealt.shares
    }
    assert partials == {int(i): hexes(values) for i, values in vector["partials"].items()}
    assert threshold.combine(dealt.public_key, dealt.verification, partials) == [
        m % dealt.public_key.n for m in hexes(vectors["paillier"]["messages"])
    ]


def test_share_proof(vectors):
    dealt = small_key().dealt
    vector = vectors["share_proof"]
    index, context = vector["trustee"], vector["context"].encode()
    ciphertexts = hexes(vectors["paillier"]["ciphertexts"])
    partials = hexes(vectors["threshold"]["partials"][str(index)])
    made = share_proofs._prove_with(
        dealt.shares[index - 1],
        dealt.verification,
        ciphertexts,
        partials,
        context=context,
        nonce=int(vector["nonce"], 16),
    )
    assert made.hex() == vector["proof"]
    share_proofs.verify_shares(
        dealt.verification, index, ciphertexts, partials, made, context=context
    )


def test_envelope(vectors):
    vector = vectors["envelope"]
    opened = envelope.open(
        bytes.fromhex(vector["private"]),
        bytes.fromhex(vector["sealed"]),
        info=vector["info"].encode(),
        aad=vector["aad"].encode(),
    )
    assert opened == vector["plaintext"].encode()


def test_signature(vectors):
    vector = vectors["signature"]
    private = ec.derive_private_key(int(vector["private"], 16), ec.SECP256R1())
    canonical = vector["canonical"].encode()
    assert signatures.sign(private, vector["tag"], canonical) == vector["signature"]
    signatures.verify(private.public_key(), vector["tag"], canonical, vector["signature"])
