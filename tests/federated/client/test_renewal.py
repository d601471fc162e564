"""An agent renews its certificate in time, and survives any answer and any death."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from django.conf import settings

from apps.organizations import ca
from apps.organizations.models import SiteCertificate
from federated.api.coordinator import CoordinatorAPI
from federated.api.credentials import Credentials
from federated.errors import Unavailable
from federated.site.work import renew as work_renew
from tests.conftest import SITE_KEYS
from tests.federated.client.authority import Authority, write_private
from tests.federated.client.portal import SiteAtWork, home_make

pytestmark = pytest.mark.django_db
PEM = serialization.Encoding.PEM


@pytest.fixture
def site(tmp_path: Path) -> SiteAtWork:
    """A site whose certificate has a day left of thirty."""
    keys = SITE_KEYS["northwind"]
    row = SiteCertificate.objects.get(pem=keys.certificate)
    home = home_make(tmp_path, "northwind")
    old = ending(home.credentials.certificate, timedelta(days=1))
    write_private(home.pem, home.credentials.pem(old))
    home.credentials_reload()
    SiteCertificate.objects.filter(pk=row.pk).update(not_after=old.not_valid_after_utc)
    return SiteAtWork(home)


def ending(certificate: x509.Certificate, left: timedelta) -> x509.Certificate:
    """The same certificate, nearer to its end."""
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        certificate.issuer,
        certificate.subject,
        certificate.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=30) + left,
        now + left,
        list(certificate.extensions),
    )
    return builder.sign(ca._key(), certificate.signature_hash_algorithm)


def days_left(site: SiteAtWork) -> int:
    held = Credentials.load(site.home.pem).certificate
    return (held.not_valid_after_utc - datetime.now(UTC)).days


def test_in_time_it_is_renewed_and_used(site: SiteAtWork) -> None:
    key = site.home.credentials.identity.key_id
    used = []
    site.api.identify = used.append  # type: ignore[method-assign]
    site.step()
    assert days_left(site) == 29
    assert site.said("certificate renewed, valid until")
    assert (site.home.credentials.identity.key_id, len(used)) == (key, 1)
    assert site.home.pem.stat().st_mode & 0o077 == 0
    asked = len(site.sent("certificate"))
    site.now += 10_000
    site.step()
    assert len(site.sent("certificate")) == asked == 1


def test_a_young_one_is_left_alone(tmp_path: Path) -> None:
    site = SiteAtWork(home_make(tmp_path, "northwind"))
    site.step()
    assert site.sent("certificate") == []


def test_a_lost_answer_is_asked_for_again(site: SiteAtWork) -> None:
    def lose(request: httpx.Request) -> None:
        if request.url.path.endswith("/certificate"):
            raise httpx.ReadError("lost", request=request)

    site.transport.after = lose
    site.step()
    assert site.said("not renewed (unavailable)")
    assert days_left(site) == 0
    issued = SiteCertificate.objects.latest("created_at")
    site.restart()
    site.step()
    held = Credentials.load(site.home.pem).certificate
    assert held.public_bytes(PEM).decode() == issued.pem
    assert SiteCertificate.objects.latest("created_at") == issued


def test_it_dies_before_the_next_one_is_kept(site: SiteAtWork, monkeypatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(work_renew, "write_durably", die)
        with pytest.raises(KeyboardInterrupt):
            site.step()
    assert days_left(site) == 0
    site.restart()
    site.step()
    assert days_left(site) == 29


def lies() -> dict[str, bytes]:
    stranger = Authority()
    other = SITE_KEYS["lakeside"].certificate
    return {
        "another's": other.encode(),
        "of another authority": stranger.admit("northwind", key=SITE_KEYS["northwind"].key),
        "none": b"x",
    }


@pytest.mark.parametrize("kind", ["another's", "of another authority", "none", "the present one"])
def test_a_coordinator_that_lies_changes_nothing(site: SiteAtWork, kind: str) -> None:
    before = site.home.pem.read_bytes()
    present = site.home.credentials.certificate.public_bytes(PEM)
    given = present if kind == "the present one" else lies()[kind]
    if kind == "of another authority":
        given = x509.load_pem_x509_certificates(given)[0].public_bytes(PEM)

    def lie(request: httpx.Request, answer: bytes) -> bytes:
        if not request.url.path.endswith("/certificate"):
            return answer
        return b'{"certificate":"' + given.replace(b"\n", b"\\n") + b'"}'

    site.transport.lie = lie
    site.step()
    assert site.said("certificate not renewed")
    assert site.home.pem.read_bytes() == before


def test_an_unreachable_coordinator_is_asked_in_an_hour(site: SiteAtWork) -> None:
    def away(request: httpx.Request) -> None:
        if request.url.path.endswith("/certificate"):
            raise Unavailable("away")

    site.transport.before = away
    site.step()
    assert site.said("asking in an hour")
    site.transport.before = lambda request: None
    site.step()
    assert days_left(site) == 0
    site.now += 3600
    site.step()
    assert days_left(site) == 29


class Seen(BaseHTTPRequestHandler):
    """Answers with the fingerprint of the client certificate, and keeps the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        der = self.connection.getpeercert(binary_form=True)
        body = json.dumps({"seen": hashlib.sha256(der or b"").hexdigest()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    config = settings.FSC_CONFIG
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(config.ca_cert))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(config.tls_cert, config.tls_key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Seen) as made:
        made.daemon_threads = True
        made.socket = tls.wrap_socket(made.socket, server_side=True)
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_connections_present_the_new_one(site: SiteAtWork, server: ThreadingHTTPServer) -> None:
    url = f"https://127.0.0.1:{server.server_port}"
    real = CoordinatorAPI.for_site(url, site.home.credentials, retry_seconds=0.0)
    assert real.site()["seen"] == site.home.credentials.fingerprint
    old = site.home.credentials.fingerprint
    site.api.identify = real.identify  # type: ignore[method-assign]
    site.step()
    assert real.site()["seen"] == site.home.credentials.fingerprint != old
    real.close()
