"""The PEM of a site: what it must hold, and who may read it."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from federated.api.credentials import Credentials, CredentialsExposed
from federated.errors import Forbidden, InvalidInput, NotFound
from federated.protocol.identity import verify_signed
from federated.wire.key import KeyConfirmation
from tests.federated.client.authority import Authority, pem_of, write_private


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def test_a_whole_pem_gives_an_identity_that_signs(tmp_path: Path, authority: Authority) -> None:
    credentials = Credentials.load(write_private(tmp_path / "a.pem", authority.admit("northwind")))
    assert credentials.organization == "northwind"
    message = KeyConfirmation(epoch="0" * 64, organization="northwind")
    signed = credentials.identity.sign(message)
    assert verify_signed(signed, credentials.identity.public_key) == message
    assert "private" not in repr(credentials)


def test_tls_is_1_3_and_trusts_the_ca_alone(tmp_path: Path, authority: Authority) -> None:
    credentials = Credentials.load(write_private(tmp_path / "a.pem", authority.admit("northwind")))
    context = credentials.ssl_context()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_read_is_refused_with_the_fix(
    tmp_path: Path, authority: Authority, mode: int
) -> None:
    path = write_private(tmp_path / "a.pem", authority.admit("northwind"))
    path.chmod(mode)
    with pytest.raises(CredentialsExposed, match=f"chmod 600 {path}"):
        Credentials.load(path)


def test_an_absent_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="federated join"):
        Credentials.load(tmp_path / "none.pem")


def test_what_is_missing_is_said(tmp_path: Path, authority: Authority) -> None:
    whole = authority.admit("northwind").decode()
    blocks = [f"{block}-----\n" for block in whole.split("-----\n")[:-1]]
    key, leaf, ca = ("".join(blocks[i : i + 2]) for i in (0, 2, 4))
    other = pem_of(ec.generate_private_key(ec.SECP256R1())).decode()
    large = rsa.generate_private_key(65537, 2048)
    cases = {
        leaf + ca: "no unencrypted private key",
        key: "no readable certificate",
        key + leaf: "CA certificate is missing",
        key + ca + leaf: "first certificate must be",
        other + leaf + ca: "first certificate must be",
        pem_of(large).decode() + leaf + ca: "must be ECDSA P-256",  # type: ignore[arg-type]
    }
    for position, (content, said) in enumerate(cases.items()):
        path = write_private(tmp_path / f"{position}.pem", content.encode())
        with pytest.raises(InvalidInput, match=said):
            Credentials.load(path)


@pytest.mark.parametrize("name", ["Northwind", "x", "north-wind", "northwind.example"])
def test_a_common_name_that_is_no_slug_is_refused(
    tmp_path: Path, authority: Authority, name: str
) -> None:
    with pytest.raises(InvalidInput, match="slug"):
        Credentials.load(write_private(tmp_path / "a.pem", authority.admit(name)))


def test_an_expired_certificate_is_said_with_its_dates(
    tmp_path: Path, authority: Authority
) -> None:
    content = authority.admit("northwind", days=-1)
    credentials = Credentials.load(write_private(tmp_path / "a.pem", content))
    with pytest.raises(Forbidden, match="valid from .* not now"):
        credentials.check_dates()
