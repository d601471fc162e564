"""Detached signatures: ECDSA P-256 with SHA-256 over a tag and canonical bytes.

What is signed is ``federated-simulation-cloud/v1 NUL tag NUL canonical``. A signature is r and s
of 32 bytes each (RFC 7518, section 3.4), base64url without padding. Nonces follow RFC 6979, and s
is the lower of the two that verify, so a third party cannot turn a signature into another one.
"""

from __future__ import annotations

import base64
import binascii

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from federated.errors import InvalidInput, SignatureInvalid

_PREFIX = b"federated-simulation-cloud/v1\0"
# The order of P-256 (SEC 2, section 2.4.2).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_HALF_BYTES = 32


def generate_private_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_input(tag: str, canonical: bytes) -> bytes:
    """The bytes that are signed; InvalidInput for a tag that is empty, not ASCII or holds NUL."""
    if not tag or not tag.isascii() or "\0" in tag:
        raise InvalidInput("signature tag must be non-empty ASCII without NUL")
    return _PREFIX + tag.encode() + b"\0" + canonical


def sign(private_key: ec.EllipticCurvePrivateKey, tag: str, canonical: bytes) -> str:
    """The base64url signature; InvalidInput for a key on another curve or an impossible tag."""
    if not isinstance(private_key.curve, ec.SECP256R1):
        raise InvalidInput("signing key must be on the curve P-256")
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(private_key.sign(signing_input(tag, canonical), algorithm))
    s = min(s, _ORDER - s)
    raw = r.to_bytes(_HALF_BYTES, "big") + s.to_bytes(_HALF_BYTES, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def verify(
    key: ec.EllipticCurvePublicKey | x509.Certificate, tag: str, canonical: bytes, signature: str
) -> None:
    """SignatureInvalid unless ``signature`` is the key's or the certificate's over these bytes.

    A certificate is used for its key alone: whether it is trusted, current and not revoked is the
    caller's to check.
    """
    public: PublicKeyTypes = key.public_key() if isinstance(key, x509.Certificate) else key
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(
        public.curve, ec.SECP256R1
    ):
        raise SignatureInvalid("signatures are made with keys on the curve P-256")
    r, s = _split(signature)
    try:
        public.verify(
            encode_dss_signature(r, s),
            signing_input(tag, canonical),
            ec.ECDSA(hashes.SHA256()),
        )
    except InvalidSignature as error:
        raise SignatureInvalid(f"signature over {tag} does not verify") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """Hex SHA-256 of the certificate's DER bytes: how a site's identity is named."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def key_fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """Hex SHA-256 of the key's SubjectPublicKeyInfo: stays the same when a certificate renews."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return digest.finalize().hex()


def _split(signature: str) -> tuple[int, int]:
    """r and s; only the one encoding of a signature with the lower s is taken."""
    try:
        raw = base64.b64decode(signature + "==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise SignatureInvalid("signature is not base64url") from error
    if len(raw) != 2 * _HALF_BYTES or base64.urlsafe_b64encode(raw).decode() != signature + "==":
        raise SignatureInvalid("signature is not 64 bytes in base64url without padding")
    r, s = (int.from_bytes(half, "big") for half in (raw[:_HALF_BYTES], raw[_HALF_BYTES:]))
    if not (0 < r < _ORDER and 0 < s <= _ORDER // 2):
        raise SignatureInvalid("signature holds a number out of range")
    return r, s
