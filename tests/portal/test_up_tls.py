"""The web server's TLS: 1.3 only, client certificates optional but genuine, handshakes that end."""

from __future__ import annotations

import datetime
import importlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from portal.config import Config
from tests.patience import patient

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass
class Issued:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, certificate: Path, key: Path) -> None:
        certificate.parent.mkdir(parents=True, exist_ok=True)
        key.parent.mkdir(parents=True, exist_ok=True)
        certificate.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def issue(name: str, by: Issued | None = None) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = by or Issued(None, key)  # type: ignore[arg-type]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    return Issued(builder.sign(signer.key, hashes.SHA256()), key)


def revoke(authority: Issued, path: Path, *revoked: Issued) -> None:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(NOW - DAY)
        .next_update(NOW + DAY)
    )
    for issued in revoked:
        entry = x509.RevokedCertificateBuilder(
            serial_number=issued.certificate.serial_number, revocation_date=NOW - DAY
        )
        builder = builder.add_revoked_certificate(entry.build())
    crl = builder.sign(authority.key, hashes.SHA256())
    path.write_bytes(crl.public_bytes(serialization.Encoding.PEM))


@dataclass
class Tls:
    module: ModuleType
    config: Config
    authority: Issued
    folder: Path

    def client(self, issued: Issued | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.config.ca_cert)
        if issued is not None:
            files = self.folder / "client.crt", self.folder / "client.key"
            issued.write(*files)
            context.load_cert_chain(*files)
        return context

    @contextmanager
    def connection(self) -> Iterator[tuple[socket.socket, list[object]]]:
        """A client's socket, and what the server made of it: a certificate, None or an error."""
        ours, theirs = socket.socketpair()
        outcome: list[object] = []

        def serve() -> None:
            context = self.module.ssl_context(None, lambda: None)
            try:
                with context.wrap_socket(theirs, server_side=True) as wrapped:
                    outcome.append(wrapped.getpeercert(binary_form=True))
                    wrapped.sendall(b"served")
            except OSError as error:
                outcome.append(error)
                theirs.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with ours:
            yield ours, outcome
        thread.join(30)
        assert not thread.is_alive()

    def connect(self, context: ssl.SSLContext) -> object:
        """What the server made of a client: its certificate, None, or the server's error."""
        with self.connection() as (plain, outcome):
            try:
                with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                    while wrapped.recv(100):
                        pass
            except OSError:
                pass
        return outcome[0]


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tls:
    monkeypatch.setenv("FSC_STATE", str(tmp_path / "state"))
    module = importlib.reload(importlib.import_module("portal.up.gunicorn_config"))
    config = Config.load()
    authority = issue("authority")
    authority.write(config.ca_cert, tmp_path / "ca.key")
    issue("localhost", authority).write(config.tls_cert, config.tls_key)
    return Tls(module, config, authority, tmp_path)


def test_a_person_without_a_certificate_is_served(tls: Tls) -> None:
    assert tls.connect(tls.client()) is None


def test_a_site_is_known_by_its_certificate(tls: Tls) -> None:
    site = issue("northwind", tls.authority)
    der = site.certificate.public_bytes(serialization.Encoding.DER)
    assert tls.connect(tls.client(site)) == der


def test_certificate_of_another_authority_is_refused(tls: Tls) -> None:
    stranger = issue("northwind", issue("authority"))
    assert isinstance(tls.connect(tls.client(stranger)), ssl.SSLError)


def test_tls_1_2_is_refused(tls: Tls) -> None:
    context = tls.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert isinstance(tls.connect(context), ssl.SSLError)


def test_a_new_revocation_list_applies_to_the_next_connection(tls: Tls) -> None:
    site, other = issue("northwind", tls.authority), issue("lakeside", tls.authority)
    revoke(tls.authority, tls.config.crl)
    assert isinstance(tls.connect(tls.client(site)), bytes)
    revoke(tls.authority, tls.config.crl, site)
    assert isinstance(tls.connect(tls.client(site)), ssl.SSLError)
    assert isinstance(tls.connect(tls.client(other)), bytes)
    assert tls.connect(tls.client()) is None


def test_half_a_handshake_gives_its_thread_back(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls.module, "HANDSHAKE_SECONDS", 0.2)
    with tls.connection() as (plain, outcome):
        plain.sendall(b"\x16\x03\x01\x02\x00\x01")  # the start of a ClientHello, and no more
        plain.settimeout(patient(30))
        assert plain.recv(100) == b""  # the server gave up
    assert isinstance(outcome[0], TimeoutError)
