"""The certificates that the consortium issues, judged by libraries that did not make them."""

from __future__ import annotations

import shutil
import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from django.conf import settings

from apps.organizations import ca
from tests.conftest import SITE_KEYS
from tests.site_keys import site_request

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def authority(db):
    ca.ensure()


def server_chain() -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(settings.FSC_CONFIG.tls_cert.read_bytes())


def verifier() -> PolicyBuilder:
    return PolicyBuilder().store(Store([ca.certificate()]))


@pytest.mark.parametrize(
    "name", [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
)
def test_the_servers_certificate_verifies(name):
    leaf, authority = server_chain()
    assert verifier().build_server_verifier(name).verify(leaf, []) == [leaf, authority]


def test_a_sites_certificate_verifies_as_a_client():
    leaf = x509.load_pem_x509_certificate(SITE_KEYS["northwind"].certificate.encode())
    assert verifier().build_client_verifier().verify(leaf, []).chain[0] == leaf
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert leaf.not_valid_after_utc - datetime.now(UTC) <= timedelta(days=30)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_agrees_and_reads_the_revocation_list(tmp_path):
    issued = ca.site_issue(ca.request_read(site_request("northwind")[1], "northwind"), "northwind")
    leaf = tmp_path / "leaf.pem"
    leaf.write_text(issued.pem)

    def verify() -> str:
        config = settings.FSC_CONFIG
        command = ["openssl", "verify", "-x509_strict", "-crl_check", "-purpose", "sslclient"]
        command += ["-CAfile", config.ca_cert, "-CRLfile", config.crl, leaf]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    ca.crl_write([])
    assert "OK" in verify()
    ca.crl_write([(issued.serial, datetime.now(UTC))])
    assert "certificate revoked" in verify()
    ca.crl_write([])


def test_python_serves_and_trusts_them():
    config = settings.FSC_CONFIG
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(config.tls_cert, config.tls_key)
    ssl.create_default_context(cafile=str(config.ca_cert))


def test_secrets_are_private():
    for path in (settings.FSC_CONFIG.ca_key, settings.FSC_CONFIG.tls_key):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_second_start_keeps_everything():
    config = settings.FSC_CONFIG
    paths = (config.ca_key, config.ca_cert, config.tls_key, config.tls_cert)
    before = [path.read_bytes() for path in paths]
    ca.ensure()
    assert [path.read_bytes() for path in paths] == before


def test_other_host_names_renew_the_servers_certificate(settings):
    before = server_chain()[0]
    coordinator = settings.FSC_CONFIG.coordinator.model_copy(
        update={"hosts": ("federated.example", "10.1.2.3")}
    )
    kept = settings.FSC_CONFIG
    settings.FSC_CONFIG = kept.model_copy(update={"coordinator": coordinator})
    ca.ensure()
    leaf = server_chain()[0]
    assert leaf.serial_number != before.serial_number
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "federated.example" in names.get_values_for_type(x509.DNSName)
    assert ip_address("10.1.2.3") in names.get_values_for_type(x509.IPAddress)


def test_a_request_gets_nothing_but_its_key_and_name():
    key, csr, _ = site_request("northwind")
    issued = ca.site_issue(ca.request_read(csr, "northwind"), "northwind")
    leaf = x509.load_pem_x509_certificate(issued.pem.encode())
    assert leaf.public_key() == key.public_key()
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier("urn:federated:organization:northwind")]
