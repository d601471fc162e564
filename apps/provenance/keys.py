"""Keys in files: made at first use, readable by their owner alone."""

import os
import secrets
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from federated.errors import Unavailable
from federated.provenance.checkpoint import VerifierKey


def log_key() -> Ed25519PrivateKey:
    """The key that signs checkpoints, from ``settings.FSC_LOG_KEY_PATH``."""
    default = Path(settings.FSC_STATE) / "secrets" / "log.key"
    return _load(Path(getattr(settings, "FSC_LOG_KEY_PATH", None) or default))


def verifier_key(origin: str) -> VerifierKey:
    """Returns the key that verifies the checkpoints of log `origin`."""
    return VerifierKey.of(origin, log_key())


@lru_cache(maxsize=8)
def _load(path: Path) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(secret_file(path))


def secret_file(path: Path) -> bytes:
    """The 32 bytes in a file of hexadecimal text, made if absent. Raises `Unavailable`."""
    try:
        if not path.exists():
            _create(path)
        secret = bytes.fromhex(path.read_text().strip().removeprefix("0x"))
    except (OSError, ValueError) as exc:
        raise Unavailable(f"the key {path.name} cannot be read: {type(exc).__name__}") from exc
    if len(secret) != 32:
        raise Unavailable(f"the key {path.name} has {len(secret)} bytes, not 32")
    return secret


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link never replaces: of two processes that start together, one key wins.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
