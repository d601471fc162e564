"""The consortium's certificate authority: ECDSA P-256, X.509 (RFC 5280).

It admits sites (client certificates of 30 days, common name = the organization's slug) and, unless
the configuration brings its own, names the server. Its key is a file secret of the portal; whoever
holds it can admit sites, but jobs pin the sites' keys, so a forged site is not in any job.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from django.conf import settings

from apps.common.files import write_file
from federated.crypto.signatures import fingerprint, generate_private_key, key_fingerprint
from federated.errors import InvalidInput, Unavailable
from federated.protocol.identity import organization_urn

CA_LIFE = timedelta(days=3650)
SITE_LIFE = timedelta(days=30)
SERVER_LIFE = timedelta(days=397)
# Long, because a list that has expired makes the web server reject every site; it is rewritten
# hourly and at each revocation.
CRL_LIFE = timedelta(days=7)
SKEW = timedelta(minutes=5)
CSR_MAX_CHARACTERS = 8192


@dataclass(frozen=True)
class Issued:
    """A certificate as the database keeps it."""

    pem: str
    der: bytes
    fingerprint: str
    key_id: str
    serial: str
    not_after: datetime


def ensure() -> None:
    """Make the authority, the server's certificate and the revocation list where missing."""
    config = settings.FSC_CONFIG
    if not config.ca_key.exists():
        write_file(config.ca_key, _key_pem(generate_private_key()), private=True)
    if not config.ca_cert.exists():
        write_file(config.ca_cert, _self_signed(_key()).public_bytes(_PEM))
    if config.coordinator.tls_cert is None:
        _server_ensure()


def certificate() -> x509.Certificate:
    """The authority's own certificate. Raises Unavailable before bootstrap made it."""
    try:
        return x509.load_pem_x509_certificate(settings.FSC_CONFIG.ca_cert.read_bytes())
    except FileNotFoundError as error:
        raise Unavailable("The consortium has no certificate authority yet.") from error


def certificate_pem() -> str:
    return certificate().public_bytes(_PEM).decode()


def ca_fingerprint() -> str:
    """Hexadecimal SHA-256 of the authority's certificate: what a join token pins."""
    return fingerprint(certificate())


def request_read(csr_pem: str, slug: str) -> x509.CertificateSigningRequest:
    """The site's request, if it proves its key and names its organization.

    Raises InvalidInput that says what is wrong.
    """
    if len(csr_pem) > CSR_MAX_CHARACTERS:
        raise InvalidInput(f"csr: longer than {CSR_MAX_CHARACTERS} characters", field="csr")
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        key = csr.public_key()
        names = csr.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        proven = csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise InvalidInput("csr: not a PEM certificate signing request", field="csr") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput("csr: the key must be ECDSA P-256", field="csr")
    if not proven:
        raise InvalidInput("csr: its signature is not by the key that it names", field="csr")
    if [name.value for name in names] != [slug]:
        raise InvalidInput(f"csr: the common name must be {slug}, as in the token", field="csr")
    return csr


def site_issue(csr: x509.CertificateSigningRequest, slug: str) -> Issued:
    """A client certificate. Only key and slug are taken from the request, no other wishes."""
    key = csr.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    # Verifiers that follow RFC 9525 look at alternative names and never at the common name.
    name = x509.UniformResourceIdentifier(organization_urn(slug))
    issued = _issue(
        key,
        x509.Name([_common_name(slug)]),
        SITE_LIFE,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        [name],
    )
    return Issued(
        pem=issued.public_bytes(_PEM).decode(),
        der=issued.public_bytes(serialization.Encoding.DER),
        fingerprint=fingerprint(issued),
        key_id=key_fingerprint(key),
        serial=format(issued.serial_number, "x"),
        not_after=issued.not_valid_after_utc,
    )


def crl_write(revoked: Iterable[tuple[str, datetime]]) -> None:
    """Publish the revocation list: (hexadecimal serial, time) of unexpired certificates."""
    now = datetime.now(UTC)
    authority = certificate()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now - SKEW)
        .next_update(now + CRL_LIFE)
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        .add_extension(_authority_key_identifier(authority), critical=False)
    )
    for serial, at in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(int(serial, 16))
            .revocation_date(at)
            .build()
        )
    crl = builder.sign(_key(), hashes.SHA256())
    write_file(settings.FSC_CONFIG.crl, crl.public_bytes(_PEM))


_PEM = serialization.Encoding.PEM


def _key() -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(settings.FSC_CONFIG.ca_key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _common_name(value: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(NameOID.COMMON_NAME, value)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = datetime.now(UTC)
    name = x509.Name([_common_name(f"{settings.FSC_CONSORTIUM} authority")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _authority_key_identifier(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)


def _issue(
    key: ec.EllipticCurvePublicKey,
    subject: x509.Name,
    life: timedelta,
    purpose: x509.ObjectIdentifier,
    names: list[x509.GeneralName],
) -> x509.Certificate:
    now = datetime.now(UTC)
    authority = certificate()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(min(now + life, authority.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(_authority_key_identifier(authority), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return builder.sign(_key(), hashes.SHA256())


def _server_names() -> list[x509.GeneralName]:
    config = settings.FSC_CONFIG
    names = dict.fromkeys(["localhost", "127.0.0.1", "::1", config.address[0]])
    names.update(dict.fromkeys(config.coordinator.hosts))
    general: list[x509.GeneralName] = []
    for name in names:
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            general.append(x509.DNSName(name))
        else:
            if not address.is_unspecified:
                general.append(x509.IPAddress(address))
    return general


def _server_ensure() -> None:
    """Issue the server's certificate anew when it is missing, ageing or for other names."""
    config = settings.FSC_CONFIG
    names = _server_names()
    if config.tls_key.exists() and config.tls_cert.exists():
        current = x509.load_pem_x509_certificate(config.tls_cert.read_bytes())
        held = current.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        fresh = current.not_valid_after_utc - datetime.now(UTC) > SERVER_LIFE / 4
        if fresh and list(held) == names and current.issuer == certificate().subject:
            return
    key = generate_private_key()
    subject = x509.Name([_common_name(f"{settings.FSC_CONSORTIUM} coordinator")])
    issued = _issue(key.public_key(), subject, SERVER_LIFE, ExtendedKeyUsageOID.SERVER_AUTH, names)
    write_file(config.tls_key, _key_pem(key), private=True)
    write_file(config.tls_cert, issued.public_bytes(_PEM) + certificate().public_bytes(_PEM))
