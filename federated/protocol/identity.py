"""Site identities: who signed a message, with which pinned key."""

from __future__ import annotations

import hashlib
from functools import cached_property, lru_cache
from typing import Any, TypeVar, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from federated.crypto import signatures
from federated.errors import InvalidInput, SignatureInvalid
from federated.wire.base import Message, Signed, decode_bytes, encode_bytes, signing_tag

M = TypeVar("M", bound=Message)


class SiteIdentity:
    """An organization's signing key (ECDSA P-256), kept at its site."""

    def __init__(self, organization: str, private_key: ec.EllipticCurvePrivateKey) -> None:
        self.organization = organization
        self._private_key = private_key

    @cached_property
    def public_key(self) -> str:
        """The SubjectPublicKeyInfo DER that specs and key epochs pin, base64url."""
        return encode_bytes(
            self._private_key.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
        )

    @cached_property
    def key_id(self) -> str:
        """SHA-256 of the SubjectPublicKeyInfo DER: the ``signer`` of signed messages."""
        return key_id(self.public_key)

    def sign(self, message: M) -> Signed[M]:
        """The message in a signed envelope."""
        signature = signatures.sign(
            self._private_key, signing_tag(type(message)), message.canonical()
        )
        envelope: Any = Signed.__class_getitem__(type(message))
        signed = envelope(body=message, signer=self.key_id, signature=signature)
        return cast("Signed[M]", signed)


def key_id(public_key: str) -> str:
    """The identifier of a base64url SPKI public key."""
    return hashlib.sha256(decode_bytes(public_key)).hexdigest()


def organization_urn(organization: str) -> str:
    """How a site's certificate names its organization, as alternative name (RFC 5280, 4.2.1.6)."""
    return f"urn:federated:organization:{organization}"


@lru_cache(maxsize=4096)
def load_public_key(public_key: str) -> ec.EllipticCurvePublicKey:
    """The P-256 key of base64url SPKI DER. Raises InvalidInput for any other kind of key."""
    try:
        key = load_der_public_key(decode_bytes(public_key))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidInput("public_key: not a SubjectPublicKeyInfo in DER") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput("public_key: must be an ECDSA P-256 key")
    return key


def verify_signed(signed: Signed[M], public_key: str) -> M:
    """The body, once the pinned key's signature over it verifies.

    Raises SignatureInvalid where the envelope names another key or the signature is wrong.
    """
    if signed.signer != key_id(public_key):
        raise SignatureInvalid(
            f"{type(signed.body).__name__}: signed by key {signed.signer[:16]}, "
            f"pinned is {key_id(public_key)[:16]}"
        )
    signatures.verify(
        load_public_key(public_key),
        signing_tag(type(signed.body)),
        signed.body.canonical(),
        signed.signature,
    )
    return signed.body
