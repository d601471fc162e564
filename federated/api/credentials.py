"""A site's credentials: one PEM file with its private key, its certificate and the CA.

The file is made by ``federated join`` and never leaves the site. A file that others on the machine
can read is refused, because the key signs charges and decryptions.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from federated.errors import Forbidden, InvalidInput, NotAuthenticated, NotFound
from federated.protocol.identity import SiteIdentity

SLUG = re.compile(r"[a-z][a-z0-9_]{1,40}")
_KEY_BLOCK = re.compile(
    rb"-----BEGIN (?:EC )?PRIVATE KEY-----.+?-----END (?:EC )?PRIVATE KEY-----", re.DOTALL
)


class CredentialsExposed(Forbidden):
    """A file of secrets that others can read; the message says how to close it."""

    code = "credentials_exposed"
    title = "The credentials can be read by others"


def read_private(path: Path) -> bytes:
    """The content of a file that only its owner may read.

    Raises NotFound if it is absent, CredentialsExposed if group or others have any access.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise CredentialsExposed(
                    f"{path} has mode {mode:04o}: others can read it; run: chmod 600 {path}"
                )
            return file.read()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise NotFound(f"{path}: no such file; `federated join` makes it") from error
    except PermissionError as error:
        raise Forbidden(f"{path}: this user may not read it") from error


def fingerprint(certificate: x509.Certificate) -> str:
    """Hexadecimal SHA-256 of a certificate's DER."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def organization_of(certificate: x509.Certificate, where: str = "certificate") -> str:
    """The organization's slug that a site certificate names (its only common name)."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    slug = str(names[0].value) if len(names) == 1 else ""
    if not SLUG.fullmatch(slug):
        raise InvalidInput(
            f"{where}: the certificate's common name must be an organization's slug, is {slug!r}"
        )
    return slug


@dataclass(frozen=True)
class Credentials:
    """A site's identity and whom it trusts."""

    path: Path
    certificate: x509.Certificate
    authorities: tuple[x509.Certificate, ...]
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Credentials:
        """Read a PEM with an EC P-256 key, its certificate first and the CA's after it.

        Raises NotFound, CredentialsExposed, or InvalidInput that says which part is missing.
        """
        file = Path(path).expanduser().resolve()
        content = read_private(file)
        key = _key(content, file)
        try:
            certificates = x509.load_pem_x509_certificates(content)
        except ValueError as error:
            raise InvalidInput(f"{file}: holds no readable certificate") from error
        leaf, *authorities = certificates
        if leaf.public_key() != key.public_key():
            raise InvalidInput(
                f"{file}: the first certificate must be the private key's own; the CA comes after"
            )
        if not authorities:
            raise InvalidInput(f"{file}: the consortium's CA certificate is missing at its end")
        organization_of(leaf, str(file))
        return cls(file, leaf, tuple(authorities), key)

    @property
    def organization(self) -> str:
        return organization_of(self.certificate, str(self.path))

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate)

    @property
    def identity(self) -> SiteIdentity:
        """What signs this site's messages."""
        return SiteIdentity(self.organization, self.private_key)

    def check_dates(self, now: datetime | None = None) -> None:
        """Raises Forbidden when the certificate is not valid now, with its dates."""
        moment = now or datetime.now(UTC)
        start, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        if not start <= moment <= end:
            raise Forbidden(
                f"{self.path}: the certificate is valid from {start:%Y-%m-%d %H:%M} to "
                f"{end:%Y-%m-%d %H:%M} UTC, not now; ask an operator for a new join token"
            )

    def renewal_due(self, now: datetime) -> bool:
        """Whether less than a third of the certificate's life is left."""
        start, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return end - now < (end - start) / 3

    def pem(self, certificate: x509.Certificate) -> bytes:
        """The file's content with another certificate of the same key."""
        form = serialization.Encoding.PEM
        key = self.private_key.private_bytes(
            form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + b"".join(each.public_bytes(form) for each in (certificate, *self.authorities))

    def request(self) -> str:
        """A certificate request for the key, in PEM (PKCS #10, RFC 2986)."""
        return csr_pem(self.private_key, self.organization)

    def ssl_context(self) -> ssl.SSLContext:
        """TLS 1.3 with this site's certificate, trusting the consortium's CA alone."""
        context = trusting(self.authorities)
        context.load_cert_chain(self.path)
        return context


def csr_pem(key: ec.EllipticCurvePrivateKey, organization: str) -> str:
    """A certificate request that names the organization, signed by the key, in PEM."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, organization)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def issued_check(
    content: str,
    key: ec.EllipticCurvePublicKey,
    authorities: tuple[x509.Certificate, ...],
    organization: str,
) -> x509.Certificate:
    """The certificate in an answer: of one of these authorities, for this key and organization.

    Raises InvalidInput or NotAuthenticated.
    """
    try:
        certificate = x509.load_pem_x509_certificate(content.encode())
    except ValueError as error:
        raise InvalidInput("the certificate in the answer is no certificate") from error
    if not any(_is_issued(certificate, authority) for authority in authorities):
        raise InvalidInput("the certificate in the answer is not of the consortium's CA")
    if certificate.public_key() != key:
        raise InvalidInput("the certificate in the answer is for another key")
    named = organization_of(certificate)
    if named != organization:
        raise NotAuthenticated(f"the answer is for {named}, this site is {organization}'s")
    return certificate


def _is_issued(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def trusting(authorities: tuple[x509.Certificate, ...]) -> ssl.SSLContext:
    """A TLS 1.3 client context that trusts these authorities and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    pems = [cert.public_bytes(serialization.Encoding.PEM).decode() for cert in authorities]
    context.load_verify_locations(cadata="".join(pems))
    return context


def _key(content: bytes, file: Path) -> ec.EllipticCurvePrivateKey:
    block = _KEY_BLOCK.search(content)
    if block is None:
        raise InvalidInput(f"{file}: holds no unencrypted private key block")
    try:
        key = serialization.load_pem_private_key(block.group(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"{file}: the private key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise InvalidInput(f"{file}: the private key must be ECDSA P-256")
    return key
