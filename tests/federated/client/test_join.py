"""Joining the portal with a one-time token, and what must not be trusted on the way."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx
import pytest

from apps.common.actor import Actor
from apps.organizations import ca
from apps.organizations.models import Organization
from apps.organizations.services import join_token_issue
from federated.api.transport import TlsFailed
from federated.errors import Conflict, InvalidInput, Unavailable
from federated.site.join import JoinToken, site_join
from federated.site.policy import Policy
from tests.federated.client.authority import PEM, Authority
from tests.federated.client.portal import URL, PortalTransport


@pytest.fixture
def token(db: None) -> str:
    organization = Organization.objects.get(slug="harbor")
    return str(join_token_issue(organization=organization, actor=Actor.system("tests")))


@pytest.fixture
def portal(db: None) -> PortalTransport:
    return PortalTransport(None)


def test_a_site_joins_and_its_folder_is_private(
    token: str, portal: PortalTransport, tmp_path: Path
) -> None:
    home = site_join(URL, token, tmp_path / "harbor", transport=portal)
    assert home.credentials.organization == "harbor"
    assert home.about().url == URL
    assert home.policy() == Policy()
    for name in ("site.pem", "encryption.key"):
        assert stat.S_IMODE((home.path / name).stat().st_mode) == 0o600
    assert not (home.path / "joining.key").exists()
    assert PortalTransport(_der(home)).client.get("/api/site").json()["organization"] == "harbor"


def _der(home) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return home.credentials.certificate.public_bytes(Encoding.DER)


def test_private_keys_never_leave(token: str, portal: PortalTransport, tmp_path: Path) -> None:
    home = site_join(URL, token, tmp_path / "harbor", transport=portal)
    sent = b"".join(body for _, body in portal.bodies)
    assert b"PRIVATE KEY" not in sent
    assert home.encryption_key() not in sent


def test_a_lost_answer_is_asked_for_again_with_the_same_keys(
    token: str, portal: PortalTransport, tmp_path: Path
) -> None:
    def lose(request: httpx.Request) -> None:
        if request.url.path == "/api/join":
            raise httpx.ReadError("the answer was lost")

    portal.after = lose
    with pytest.raises(Unavailable):
        site_join(URL, token, tmp_path / "harbor", transport=portal, retry_seconds=0.0)
    portal.after = lambda request: None
    home = site_join(URL, token, tmp_path / "harbor", transport=portal)
    assert home.credentials.organization == "harbor"


def test_a_token_serves_once(token: str, portal: PortalTransport, tmp_path: Path) -> None:
    site_join(URL, token, tmp_path / "one", transport=portal)
    with pytest.raises(Conflict, match="used already"):
        site_join(URL, token, tmp_path / "two", transport=portal)
    with pytest.raises(Conflict, match="joined already"):
        site_join(URL, token, tmp_path / "one", transport=portal)


def test_another_ca_than_the_tokens_gets_no_secret(token: str, tmp_path: Path) -> None:
    impostor = Authority().certificate.public_bytes(PEM)
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.path)
        return httpx.Response(200, content=impostor)

    with pytest.raises(TlsFailed, match="nothing was sent"):
        site_join(URL, token, tmp_path / "harbor", transport=httpx.MockTransport(answer))
    assert seen == ["/api/ca"]


def test_an_answer_with_a_certificate_of_another_ca_is_refused(
    token: str, portal: PortalTransport, tmp_path: Path
) -> None:
    other = Authority()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/ca":
            return httpx.Response(200, content=ca.certificate_pem().encode())
        body = {
            "organization": "harbor",
            "consortium": "test",
            "certificate": other.certificate.public_bytes(PEM).decode(),
            "ca": ca.certificate_pem(),
        }
        return httpx.Response(201, json=body)

    with pytest.raises(InvalidInput, match="not of the consortium's CA"):
        site_join(URL, token, tmp_path / "harbor", transport=httpx.MockTransport(answer))
    assert not (tmp_path / "harbor" / "site.pem").exists()


@pytest.mark.parametrize(
    "text", ["xyz", "fsc1.harbor.short.x", "fsc2.harbor." + "a" * 43 + "." + "0" * 64]
)
def test_a_malformed_token_is_not_repeated(text: str) -> None:
    with pytest.raises(InvalidInput, match="must be fsc1") as caught:
        JoinToken.parse(text)
    assert text not in caught.value.message
