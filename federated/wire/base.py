"""Messages: one canonical encoding, one digest, one signature envelope.

Canonical bytes are RFC 8785 (JSON Canonicalization Scheme). Integers beyond 2^53 and binary
values travel as base64url text. A digest is SHA-256 over ``TAG || 0x00 || canonical``, so that no
message of one type has the digest of another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import rfc8785
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError

from federated.errors import InvalidInput

PREFIX = "federated-simulation-cloud/v1/"

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,40}$")]
"""An organization's name in messages, URLs and schemas (its ``tenant_id``)."""
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest, lower-case hexadecimal."""
Identifier = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
]
"""A UUID in its canonical text form."""
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]{0,79}$")]
"""A column, dataset or category name."""


def encode_bytes(value: bytes) -> str:
    """Bytes as unpadded base64url text (RFC 4648 section 5)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def decode_bytes(text: str) -> bytes:
    """The bytes of unpadded base64url text.

    Raises InvalidInput for anything but the one canonical encoding.
    """
    try:
        value = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("not unpadded base64url text") from error
    if encode_bytes(value) != text:
        raise InvalidInput("not the canonical base64url encoding of these bytes")
    return value


def _canonical_base64(text: str) -> str:
    try:
        decode_bytes(text)
    except InvalidInput as error:
        raise ValueError(error.message) from error
    return text


Bytes = Annotated[str, AfterValidator(_canonical_base64)]
"""Binary data as unpadded base64url text."""


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode
_LARGEST_INTEGER = 2**53 - 1


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value. Raises InvalidInput where JSON cannot hold it exactly."""
    try:
        if _is_plain(value):
            try:
                return _encode(value).encode()
            except UnicodeEncodeError:
                pass  # rfc8785 says what is wrong with it
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(f"no canonical form: {error}") from error


def _is_plain(value: Any) -> bool:
    """Return whether the standard library's encoder, several times as fast, writes the same bytes.

    It writes floats and sorts keys beyond the basic plane in other ways, and takes what RFC 8785
    refuses: large integers, keys that are not text.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_LARGEST_INTEGER <= value <= _LARGEST_INTEGER)
    if kind is dict:
        return all(type(key) is str and key.isascii() for key in value) and all(
            map(_is_plain, value.values())
        )
    return kind is list and all(map(_is_plain, value))


def _describe(error: ValidationError, name: str) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "(root)"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{name}: {where}: {first['msg']}{more}"


class Message(BaseModel):
    """A frozen wire message; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    TAG: ClassVar[str] = ""

    def canonical(self) -> bytes:
        """The message's RFC 8785 bytes."""
        return canonical(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 over tag and canonical bytes, hexadecimal."""
        tag = signing_tag(type(self)).encode()
        return hashlib.sha256(tag + b"\0" + self.canonical()).hexdigest()

    def dump(self) -> dict[str, Any]:
        """The message as plain JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def parse(cls: type[M], data: bytes | str | dict[str, Any]) -> M:
        """The message in JSON text or in plain JSON values.

        Raises InvalidInput that names the first field at fault.
        """
        try:
            if isinstance(data, dict):
                data = json.dumps(data, allow_nan=False)
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise InvalidInput(_describe(error, cls.__name__)) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidInput(f"{cls.__name__}: not JSON: {error}") from error


M = TypeVar("M", bound=Message)


def signing_tag(kind: type[Message]) -> str:
    """The domain-separation tag of a message type, used for digests and signatures."""
    if not kind.TAG:
        raise TypeError(f"{kind.__name__} is a part of other messages and has no tag of its own")
    return PREFIX + kind.TAG


class Signed(Message, Generic[M]):
    """A message with a detached signature of the site (or person) that made it.

    ``signer`` is the key identifier: SHA-256 of the public key's SubjectPublicKeyInfo DER. It
    proves who signed the body, not that the body is true.
    """

    body: M
    signer: Digest
    signature: Bytes

    def digest(self) -> str:
        """SHA-256 over the body's tag and the whole envelope: names these very bytes."""
        tag = signing_tag(type(self.body)) + "/signed"
        return hashlib.sha256(tag.encode() + b"\0" + self.canonical()).hexdigest()
