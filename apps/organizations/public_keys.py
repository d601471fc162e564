"""The signing keys that certificates bind to sites."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from federated.wire.base import encode_bytes


@lru_cache(maxsize=1024)
def public_key_of(pem: str) -> str:
    """The certificate's SubjectPublicKeyInfo DER, base64url, as specs and key epochs pin it."""
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return encode_bytes(
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
