"""A site's certificate is renewed for its own key, in time, once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from django.utils import timezone
from django_tenants.utils import tenant_context

from apps.common.actor import Actor
from apps.keys.selectors import roster
from apps.organizations import ca
from apps.organizations.models import SiteCertificate
from apps.organizations.services import certificate_revoke
from apps.provenance.models import Event
from apps.provenance.tags import Tag
from tests.conftest import SITE_KEYS, SiteClient, pem_der
from tests.site_keys import csr_for, site_request

pytestmark = pytest.mark.django_db
ADDRESS = "/api/site/certificate"


@pytest.fixture
def site() -> SiteClient:
    return SiteClient(SITE_KEYS["northwind"].der)


def own() -> SiteCertificate:
    return SiteCertificate.objects.get(pem=SITE_KEYS["northwind"].certificate)


def age(left: timedelta) -> None:
    """Let the certificate's row end so soon."""
    SiteCertificate.objects.filter(pk=own().pk).update(not_after=timezone.now() + left)


def ask(client: SiteClient, csr: str):
    return client.post(ADDRESS, {"csr": csr}, content_type="application/json")


def ask_own(client: SiteClient):
    return ask(client, csr_for("northwind", SITE_KEYS["northwind"].key))


def test_before_its_time_the_present_one_stands(site):
    count, told = SiteCertificate.objects.count(), Event.objects.count()
    answer = ask_own(site)
    assert (answer.status_code, answer.json()["certificate"]) == (200, own().pem)
    assert (SiteCertificate.objects.count(), Event.objects.count()) == (count, told)


def test_in_time_the_next_one_is_issued_once(site, northwind):
    age(timedelta(days=9))
    first, second = ask_own(site), ask_own(site)
    assert first.status_code == 200
    assert first.json() == second.json() != {"certificate": own().pem}
    renewed = SiteCertificate.objects.get(pem=first.json()["certificate"])
    assert renewed.key_id == own().key_id
    assert renewed.not_after - timezone.now() > ca.SITE_LIFE - timedelta(hours=1)
    issued = Event.objects.filter(tag=Tag.CERTIFICATE_ISSUED)
    assert issued.count() == 1
    with tenant_context(northwind):
        assert issued.all().count() == 1
    # Both are good until their ends; the roster names the site once.
    assert SiteClient(pem_der(renewed.pem)).get("/api/site").status_code == 200
    assert site.get("/api/site").status_code == 200
    assert [s.organization for s in roster().sites].count("northwind") == 1


def test_the_next_one_names_the_organization(site):
    age(timedelta(days=9))
    certificate = x509.load_pem_x509_certificate(ask_own(site).json()["certificate"].encode())
    certificate.verify_directly_issued_by(ca.certificate())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["urn:federated:organization:northwind"]


def test_another_key_is_a_new_admission(site):
    age(timedelta(days=9))
    count = SiteCertificate.objects.count()
    answer = ask(site, site_request("northwind")[1])
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert "the key of the present certificate" in answer.json()["detail"]
    assert SiteCertificate.objects.count() == count


@pytest.mark.parametrize("csr", ["", "x", csr_for("lakeside", site_request("northwind")[0])])
def test_a_bad_request_is_refused(site, csr):
    assert ask(site, csr).status_code == 422


def test_another_organizations_certificate_gets_none_for_this_key():
    answer = ask_own(SiteClient(SITE_KEYS["lakeside"].der))
    assert answer.status_code == 422


def test_one_that_is_over_or_revoked_is_not_renewed(site):
    age(timedelta(seconds=-1))
    assert ask_own(site).status_code == 401
    age(timedelta(days=9))
    certificate_revoke(certificate=own(), reason="lost", actor=Actor.system("tests"))
    assert ask_own(site).status_code == 401
    assert SiteCertificate.objects.filter(key_id=own().key_id).count() == 1


def test_without_a_certificate_there_is_no_answer(client):
    assert client.post(ADDRESS, {}, content_type="application/json").status_code == 401
