"""A join token admits one site, once, and only the site that holds the key."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from django.conf import settings
from django.utils import timezone
from django_tenants.utils import tenant_context

from apps.common.actor import Actor
from apps.organizations import ca
from apps.organizations.models import JoinToken, Organization, Site, SiteCertificate
from apps.organizations.services import certificate_revoke, join_token_issue
from apps.organizations.tokens import Token
from apps.provenance.models import Event
from apps.provenance.tags import Tag
from federated.errors import Conflict
from federated.wire.base import encode_bytes
from federated.wire.site import JoinResponse
from tests.conftest import SiteClient, pem_der
from tests.site_keys import csr_for, site_request

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("tests")


@pytest.fixture
def token(northwind):
    return join_token_issue(organization=northwind, actor=SYSTEM)


def body(token: str, csr: str, encryption_key: bytes) -> dict[str, str]:
    return {"token": token, "csr": csr, "encryption_key": encode_bytes(encryption_key)}


def request_for(token: str, slug: str = "northwind") -> dict[str, str]:
    _, csr, encryption_key = site_request(slug)
    return body(token, csr, encryption_key.public_key().public_bytes_raw())


def join(client, message: dict[str, str]):
    return client.post("/api/join", json.dumps(message), content_type="application/json")


def problem(response, status: int, word: str) -> None:
    assert (response.status_code, response["Content-Type"]) == (
        status,
        "application/problem+json",
    )
    assert word in response.json()["detail"]


def is_unused(token: str) -> bool:
    row = JoinToken.objects.get(secret_hash=Token.parse(token).secret_hash)
    return row.used_at is None and row.certificate is None


def test_a_site_joins(client, token):
    message = request_for(token)
    response = join(client, message)
    assert response.status_code == 201
    answer = JoinResponse.parse(response.json())
    assert (answer.organization, answer.consortium) == ("northwind", "consortium")
    assert answer.ca == client.get("/api/ca").content.decode()
    certificate = x509.load_pem_x509_certificate(answer.certificate.encode())
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [name.value for name in names] == ["northwind"]
    site = SiteClient(pem_der(answer.certificate)).get("/api/site").json()
    assert site["encryption_key"] == message["encryption_key"]


def test_the_token_pins_the_authority(token):
    authority = x509.load_pem_x509_certificate(settings.FSC_CONFIG.ca_cert.read_bytes())
    assert Token.parse(token).ca_fingerprint == authority.fingerprint(ca.hashes.SHA256()).hex()


def test_only_a_hash_of_the_secret_is_kept(token):
    row = JoinToken.objects.get(secret_hash=Token.parse(token).secret_hash)
    kept = {field.attname: str(getattr(row, field.attname)) for field in row._meta.fields}
    assert not any(Token.parse(token).secret in value for value in kept.values())


def test_both_logs_tell_it(client, token, northwind):
    before = Event.objects.filter(tag=Tag.SITE_JOINED).count()
    join(client, request_for(token))
    event = Event.objects.filter(tag=Tag.SITE_JOINED).latest("created_at")
    assert Event.objects.filter(tag=Tag.SITE_JOINED).count() == before + 1
    assert event.actor["organization"] == "northwind"
    with tenant_context(northwind):
        assert Event.objects.filter(tag=Tag.SITE_JOINED, subject_id=event.subject_id).exists()
    assert Token.parse(token).secret.encode() not in bytes(event.canonical)


def test_the_same_request_again_gets_the_same_answer(client, token):
    message = request_for(token)
    first, second = join(client, message), join(client, message)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert (
        SiteCertificate.objects.filter(
            revoked_at=None, site__organization__slug="northwind"
        ).count()
        == 1
    )


def test_another_key_cannot_use_it_again(client, token):
    assert join(client, request_for(token)).status_code == 201
    count = SiteCertificate.objects.count()
    problem(join(client, request_for(token)), 409, "used already")
    assert SiteCertificate.objects.count() == count


def test_a_site_that_joins_again_replaces_the_one_before(client, northwind_site, token):
    old = SiteCertificate.objects.get(site__organization__slug="northwind")
    assert join(client, request_for(token)).status_code == 201
    old.refresh_from_db()
    assert old.revoked_reason == "superseded"
    assert northwind_site.get("/api/site").status_code == 401
    assert Site.objects.filter(organization__slug="northwind").count() == 1


def test_an_expired_token(client, token):
    JoinToken.objects.filter(secret_hash=Token.parse(token).secret_hash).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    problem(join(client, request_for(token)), 401, "expired")
    assert is_unused(token)


def test_unknown_and_malformed_tokens(client, token, northwind):
    other = str(Token.new(slug="northwind", ca_fingerprint=ca.ca_fingerprint()))
    problem(join(client, request_for(other)), 401, "not known")
    elsewhere = token.replace(".northwind.", ".lakeside.")
    problem(join(client, request_for(elsewhere, "lakeside")), 401, "not known")
    for broken in ("fsc1.northwind.short.00", token[:-1], token + "0", f"fsc2{token[4:]}"):
        problem(join(client, request_for(broken)), 401, "malformed")
    assert is_unused(token)


def test_a_suspended_organization_admits_nobody(client, token):
    Organization.objects.filter(slug="northwind").update(state=Organization.State.SUSPENDED)
    problem(join(client, request_for(token)), 401, "not known")


def test_bad_requests_do_not_use_the_token_up(client, token):
    good = request_for(token)
    p384 = csr_for("northwind", ec.generate_private_key(ec.SECP384R1()))
    foreign = request_for(token, "lakeside")["csr"]
    ed = ed25519.Ed25519PrivateKey.generate()
    ed_csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "northwind")]))
        .sign(ed, None)
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )
    cases = [
        ({"csr": foreign}, "common name must be northwind"),
        ({"csr": p384}, "P-256"),
        ({"csr": ed_csr}, "P-256"),
        ({"csr": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"}, "not a PEM"),
        ({"csr": tampered(good["csr"])}, "csr"),
        ({"csr": "x" * 9000}, "csr"),
        ({"encryption_key": encode_bytes(b"short")}, "32 bytes"),
        ({"encryption_key": encode_bytes(bytes(32))}, "32 bytes"),
        ({"encryption_key": "!"}, "encryption_key"),
        ({"more": "x"}, "more"),
    ]
    for change, word in cases:
        problem(join(client, {**good, **change}), 422, word)
    problem(client.post("/api/join", "{", content_type="application/json"), 422, "JSON")
    problem(join(client, {**good, "csr": "x" * 300_000}), 413, "at most")
    assert is_unused(token)
    assert join(client, good).status_code == 201


def tampered(csr: str) -> str:
    """The request with another key's signature."""
    der = bytearray(x509.load_pem_x509_csr(csr.encode()).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    text = base64.encodebytes(bytes(der)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"


def test_an_organization_that_is_not_active_gets_no_token(northwind):
    northwind.state = Organization.State.SUSPENDED
    with pytest.raises(Conflict, match="suspended"):
        join_token_issue(organization=northwind, actor=SYSTEM)


def test_a_revocation_reaches_the_list(django_capture_on_commit_callbacks, northwind):
    certificate = SiteCertificate.objects.get(site__organization=northwind)
    with django_capture_on_commit_callbacks(execute=True):
        certificate_revoke(certificate=certificate, reason="key lost", actor=SYSTEM)
        certificate_revoke(certificate=certificate, reason="again", actor=SYSTEM)
    certificate.refresh_from_db()
    assert certificate.revoked_reason == "key lost"
    crl = x509.load_pem_x509_crl(settings.FSC_CONFIG.crl.read_bytes())
    assert crl.is_signature_valid(ca.certificate().public_key())
    assert crl.get_revoked_certificate_by_serial_number(int(certificate.serial, 16)) is not None
    with tenant_context(northwind):
        assert Event.objects.filter(tag=Tag.CERTIFICATE_REVOKED).count() == 1
