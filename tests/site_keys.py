"""Keys that a site makes for itself, for tests."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID


def csr_for(common_name: str, key: ec.EllipticCurvePrivateKey) -> str:
    """A PEM certificate signing request."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def sealing_key_of(private_raw: bytes) -> bytes:
    """The 32-byte X25519 public key of a private one."""
    return X25519PrivateKey.from_private_bytes(private_raw).public_key().public_bytes_raw()


def site_request(slug: str) -> tuple[ec.EllipticCurvePrivateKey, str, X25519PrivateKey]:
    """A site's signing key, its request, and its encryption key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, csr_for(slug, key), X25519PrivateKey.generate()
