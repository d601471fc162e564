"""A consortium's CA in a test's hands, and sites that it admitted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Authority:
    def __init__(self, name: str = "test authority") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._issue(self.key.public_key(), name, ca=True, days=10)

    @property
    def name(self) -> x509.Name:
        return self.certificate.subject

    def _issue(
        self, key: ec.EllipticCurvePublicKey, common_name: str, *, ca: bool, days: int
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if ca else self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def admit(
        self, common_name: str, *, key: ec.EllipticCurvePrivateKey | None = None, days: int = 10
    ) -> bytes:
        """A site's PEM: key, certificate, CA."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(key.public_key(), common_name, ca=False, days=days)
        return pem_of(key) + certificate.public_bytes(PEM) + self.certificate.public_bytes(PEM)


def write_private(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path
