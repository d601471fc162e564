"""Writes tests/vectors/crypto*.json anew: python -m tests.federated.crypto.generate_vectors

Only for a deliberate change of format: the files are what another implementation checks against.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from federated.crypto import envelope, proofs, share_proofs, signatures, threshold
from federated.crypto.packing import SlotLayout
from federated.crypto.safe_primes import safe_prime
from federated.crypto.transcript import Transcript
from tests.federated.crypto.masking_vectors import masking_vectors
from tests.federated.crypto.small_key import VECTORS, small_key


def write(name: str, data: Any) -> None:
    (VECTORS / name).write_text(json.dumps(data, indent=1) + "\n")


def make_key() -> None:
    p, q = safe_prime(512), safe_prime(512)
    dealt = threshold.deal_with_primes(p, q, threshold=3, trustees=4, max_colluding=1)
    write(
        "crypto_test_key.json",
        {
            "warning": "for tests only: its factors are public",
            "p": f"{p:x}",
            "q": f"{q:x}",
            "threshold": 3,
            "trustees": 4,
            "max_colluding": 1,
            "v": f"{dealt.verification.v:x}",
            "v_i": [f"{value:x}" for value in dealt.verification.v_i],
            "shares": [f"{share.value:x}" for share in dealt.shares],
        },
    )


def transcript_vector() -> dict[str, Any]:
    transcript = Transcript(b"vector")
    transcript.append("number", 2**70 + 1)
    transcript.append("zero", 0)
    transcript.append("bytes", b"\x00\x01")
    transcript.append("text", "northwind")
    return {
        "domain": "vector",
        "appends": [
            ["number", "int", f"{2**70 + 1:x}"],
            ["zero", "int", "0"],
            ["bytes", "bytes", "0001"],
            ["text", "str", "northwind"],
        ],
        "challenges": [
            ["first", 128, f"{transcript.challenge('first'):x}"],
            ["second", 61, f"{transcript.challenge('second', 61):x}"],
        ],
    }


def packing_vector() -> dict[str, Any]:
    layout = SlotLayout(contributors=4, clamp=20_000, sigma=750.5, modulus_bits=1024)
    values = [(-1) ** j * (j * 7919 % 20_001) for j in range(layout.slots + 3)]
    return {
        "contributors": 4,
        "clamp": 20_000,
        "sigma": 750.5,
        "modulus_bits": 1024,
        "bound": layout.bound,
        "slot_bits": layout.slot_bits,
        "slots": layout.slots,
        "values": values,
        "plaintexts": [f"{plaintext:x}" for plaintext in layout.pack(values)],
    }


def cipher_vectors() -> dict[str, Any]:
    dealt = small_key().dealt
    key, verification = dealt.public_key, dealt.verification
    messages = [0, 1, -1, 123456789, key.n // 2]
    exponents = [(1 << (key.exponent_bits - 1 - j)) + 12345 * j for j in range(len(messages))]
    encryptions = [
        key.encrypt(m, exponent=exponent) for m, exponent in zip(messages, exponents, strict=True)
    ]
    ciphertexts = [encryption.ciphertext for encryption in encryptions]
    proof_nonce = (1000, (1 << 700) + 1)
    proof = proofs._prove_with(
        key, messages, encryptions, proof_nonce, context=b"context", organization="northwind"
    )
    partials = {
        share.index: threshold.partial_decrypt(share, ciphertexts) for share in dealt.shares
    }
    nonce = (1 << 2300) + 7
    share_proof = share_proofs._prove_with(
        dealt.shares[1], verification, ciphertexts, partials[2], context=b"context", nonce=nonce
    )
    return {
        "paillier": {
            "n": f"{key.n:x}",
            "fingerprint": key.fingerprint(),
            "h0": f"{key.h0:x}",
            "messages": [f"{m:x}" for m in messages],
            "exponents": [f"{exponent:x}" for exponent in exponents],
            "ciphertexts": [f"{c:x}" for c in ciphertexts],
            "product": f"{key.multiply(ciphertexts):x}",
        },
        "plaintext_proof": {
            "context": "context",
            "organization": "northwind",
            "nonce": [f"{part:x}" for part in proof_nonce],
            "proof": proof.encode(key).hex(),
        },
        "threshold": {
            "fingerprint": verification.fingerprint(),
            "partials": {
                str(index): [f"{value:x}" for value in values] for index, values in partials.items()
            },
        },
        "share_proof": {
            "context": "context",
            "trustee": 2,
            "nonce": f"{nonce:x}",
            "proof": share_proof.hex(),
        },
    }


def envelope_vector() -> dict[str, Any]:
    private, public = envelope.generate()
    sealed = envelope.seal(public, b"a key share", info=b"vector", aad=b"lakeside")
    return {
        "private": private.hex(),
        "info": "vector",
        "aad": "lakeside",
        "sealed": sealed.hex(),
        "plaintext": "a key share",
    }


def signature_vector() -> dict[str, Any]:
    scalar = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721  # RFC 6979, A.2.5
    private = ec.derive_private_key(scalar, ec.SECP256R1())
    return {
        "private": f"{scalar:x}",
        "tag": "vector",
        "canonical": '{"a":1}',
        "signature": signatures.sign(private, "vector", b'{"a":1}'),
    }


def main() -> None:
    if "--new-key" in sys.argv:
        make_key()
    write(
        "crypto.json",
        {
            "transcript": transcript_vector(),
            "packing": packing_vector(),
            **cipher_vectors(),
            "envelope": envelope_vector(),
            "signature": signature_vector(),
        },
    )
    write("masking.json", masking_vectors())


if __name__ == "__main__":
    main()
