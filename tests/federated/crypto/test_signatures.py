import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

from federated.crypto import signatures
from federated.errors import InvalidInput, SignatureInvalid

KEY = signatures.generate_private_key()
PUBLIC = KEY.public_key()
SIGNATURE = signatures.sign(KEY, "contribution", b"{}")


def refused(key=PUBLIC, tag="contribution", canonical=b"{}", signature=SIGNATURE):
    with pytest.raises(SignatureInvalid):
        signatures.verify(key, tag, canonical, signature)


@pytest.fixture(scope="module")
def certificate():
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "northwind")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(PUBLIC)
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(KEY, hashes.SHA256())
    )


def test_a_signature_verifies_with_the_key_and_with_the_certificate(certificate):
    signatures.verify(PUBLIC, "contribution", b"{}", SIGNATURE)
    signatures.verify(certificate, "contribution", b"{}", SIGNATURE)


def test_the_signed_bytes_are_the_documented_ones():
    raw = base64.urlsafe_b64decode(SIGNATURE + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    PUBLIC.verify(
        encode_dss_signature(r, s),
        b"federated-simulation-cloud/v1\0contribution\0{}",
        ec.ECDSA(hashes.SHA256()),
    )


def test_another_message_tag_or_key_is_refused():
    refused(canonical=b"{} ")
    refused(tag="cohort")
    refused(key=signatures.generate_private_key().public_key())


def test_the_other_signature_that_ecdsa_would_accept_is_refused():
    raw = base64.urlsafe_b64decode(SIGNATURE + "==")
    s = signatures._ORDER - int.from_bytes(raw[32:], "big")
    twin = base64.urlsafe_b64encode(raw[:32] + s.to_bytes(32, "big")).rstrip(b"=").decode()
    refused(signature=twin)


def test_every_signature_has_the_lower_s():
    for number in range(20):
        signature = signatures.sign(KEY, "contribution", str(number).encode())
        signatures.verify(PUBLIC, "contribution", str(number).encode(), signature)


@pytest.mark.parametrize("at", range(0, 86, 5))
def test_altered_characters_are_refused(at):
    other = "A" if SIGNATURE[at] != "A" else "B"
    refused(signature=SIGNATURE[:at] + other + SIGNATURE[at + 1 :])


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "A" * 86,
        SIGNATURE + "==",
        SIGNATURE + "A",
        SIGNATURE[:-1],
        SIGNATURE + "\n",
        SIGNATURE[:-1] + "é",
        "+/" + SIGNATURE[2:],
    ],
)
def test_another_encoding_is_refused(signature):
    refused(signature=signature)


@pytest.mark.parametrize("tag", ["", "a\0b", "é"])
def test_an_impossible_tag_is_refused(tag):
    with pytest.raises(InvalidInput):
        signatures.sign(KEY, tag, b"{}")


def test_keys_on_other_curves_are_refused():
    other = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(InvalidInput):
        signatures.sign(other, "contribution", b"{}")
    refused(key=other.public_key())


def test_fingerprints_are_of_the_der_bytes(certificate):
    der = certificate.public_bytes(serialization.Encoding.DER)
    assert signatures.fingerprint(certificate) == hashlib.sha256(der).hexdigest()
    spki = PUBLIC.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert signatures.key_fingerprint(PUBLIC) == hashlib.sha256(spki).hexdigest()
