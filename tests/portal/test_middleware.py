"""Who calls, and for which organization: certificate, then path, else the consortium."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import get_script_prefix
from django.utils import timezone

from apps.common.actor import Actor
from apps.organizations.models import Organization, Site, SiteCertificate
from apps.organizations.services import certificate_revoke
from tests.conftest import SITE_KEYS, SiteClient, member_client

pytestmark = pytest.mark.django_db


def assert_problem(response, status: int, code: str) -> dict:
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert (problem["code"], problem["status"]) == (code, status)
    return problem


def test_a_certificate_names_the_organization(northwind_site):
    answer = northwind_site.get("/api/site").json()
    assert answer["organization"] == "northwind"
    assert answer["consortium"] == "consortium"
    assert answer["defaults"]["epsilon"] == 1.0


def test_no_certificate(client):
    assert_problem(client.get("/api/site"), 401, "not_authenticated")


def test_a_certificate_of_nobody(db):
    client = SiteClient(b"not one of ours")
    problem = assert_problem(client.get("/api/site"), 401, "not_authenticated")
    assert "not issued" in problem["detail"]


def test_a_revoked_certificate(northwind_site):
    certificate = SiteCertificate.objects.get(site__organization__slug="northwind")
    certificate_revoke(certificate=certificate, reason="lost", actor=Actor.system("tests"))
    problem = assert_problem(northwind_site.get("/api/site"), 401, "not_authenticated")
    assert "revoked" in problem["detail"]


def test_an_expired_certificate(northwind_site):
    past = timezone.now() - timedelta(seconds=1)
    SiteCertificate.objects.filter(site__organization__slug="northwind").update(not_after=past)
    problem = assert_problem(northwind_site.get("/api/site"), 401, "not_authenticated")
    assert "expired" in problem["detail"]


def test_a_revoked_site(northwind_site):
    Site.objects.filter(organization__slug="northwind").update(state=Site.State.REVOKED)
    assert_problem(northwind_site.get("/api/site"), 401, "not_authenticated")


def test_a_suspended_organization(northwind_site, northwind_admin):
    Organization.objects.filter(slug="northwind").update(state=Organization.State.SUSPENDED)
    assert_problem(northwind_site.get("/api/site"), 401, "not_authenticated")
    assert_problem(northwind_admin.get("/o/northwind/api/sites"), 404, "not_found")


def test_a_bad_certificate_does_not_close_what_is_open_to_all(db):
    assert SiteClient(b"old").get("/api/ca").status_code == 200


def test_a_bad_certificate_is_not_made_good_by_a_session(northwind):
    client = member_client("northwind", "admin")
    client.defaults.update(SiteClient(b"old").defaults)
    assert_problem(client.get("/o/northwind/api/sites"), 401, "not_authenticated")


def test_a_certificate_opens_its_own_path_only(northwind_site):
    assert northwind_site.get("/o/northwind/api/sites").status_code == 200
    assert_problem(northwind_site.get("/o/lakeside/api/sites"), 404, "not_found")


def test_a_certificate_is_no_login(northwind_site):
    response = northwind_site.get("/o/northwind/")
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/o/northwind/"


@pytest.mark.parametrize("role", ["admin", "scientist", "auditor"])
def test_members_by_path(db, role):
    client = member_client("northwind", role)
    sites = client.get("/o/northwind/api/sites").json()["sites"]
    assert [site["name"] for site in sites] == ["main"]


def test_other_organizations_do_not_exist_for_a_member(harbor_admin):
    for slug in ("northwind", "never_was", "No%20Slug"):
        assert_problem(harbor_admin.get(f"/o/{slug}/api/sites"), 404, "not_found")
        assert harbor_admin.get(f"/o/{slug}/").status_code == 404


def test_operators_see_no_organization(operator):
    assert operator.get("/o/northwind/").status_code == 404
    assert_problem(operator.get("/o/northwind/api/sites"), 404, "not_found")


def test_anonymous_people_are_sent_to_the_root_for_sign_in(client):
    for path in ("/o/northwind/", "/o/never_was/"):
        response = client.get(path)
        assert response.status_code == 302
        assert response["Location"] == f"/accounts/login/?next={path}"
    assert_problem(client.get("/o/northwind/api/sites"), 401, "not_authenticated")


def test_the_slash_after_a_slug(northwind_admin):
    assert northwind_admin.get("/o/northwind")["Location"] == "/o/northwind/"


def test_root_pages_are_not_under_an_organization(northwind_admin):
    for path in ("accounts/login/", "admin/"):
        assert northwind_admin.get(f"/o/northwind/{path}").status_code == 404


def test_unknown_addresses(client, northwind_site, northwind_admin):
    assert_problem(client.get("/api/nothing"), 404, "not_found")
    assert_problem(northwind_site.get("/api/nothing"), 404, "not_found")
    assert_problem(northwind_admin.get("/o/northwind/api/nothing"), 404, "not_found")


def test_wrong_methods(client, northwind_site):
    assert_problem(client.get("/api/join"), 405, "method_not_allowed")
    assert_problem(northwind_site.delete("/api/site"), 405, "method_not_allowed")


def test_nothing_stays_behind(northwind_admin, harbor_admin):
    northwind_admin.get("/o/northwind/api/sites")
    assert (connection.schema_name, get_script_prefix()) == ("public", "/")
    harbor_admin.get("/o/northwind/")
    assert (connection.schema_name, get_script_prefix()) == ("public", "/")


def test_a_view_that_fails_leaves_nothing_behind(northwind_site, monkeypatch, caplog):
    from apps.organizations import api

    def broken(**kwargs):
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(api, "sites_of", broken)
    problem = assert_problem(northwind_site.get("/api/sites"), 500, "internal_error")
    assert "secret" not in str(problem)
    assert connection.schema_name == "public"
    assert "a secret detail" in caplog.text


def test_a_database_that_is_down_is_said_to_be_so(northwind_site, monkeypatch):
    from django.db import OperationalError

    from apps.organizations import api

    def down(**kwargs):
        raise OperationalError("server closed the connection, password=x")

    monkeypatch.setattr(api, "sites_of", down)
    response = northwind_site.get("/api/sites")
    problem = assert_problem(response, 503, "unavailable")
    assert problem["retryable"] and response["Retry-After"]
    assert "password" not in problem["detail"]


def test_security_headers(client):
    response = client.get("/accounts/login/")
    assert response.status_code == 200
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_cookies_are_for_this_host_and_tls(client):
    cookies = client.get("/accounts/login/", secure=True).cookies
    csrf = cookies["__Host-csrf"]
    assert csrf["secure"] and csrf["httponly"] and csrf["path"] == "/"


def test_a_session_needs_a_csrf_token_to_write(db):
    client = Client(enforce_csrf_checks=True)
    from apps.accounts.models import User

    client.force_login(User.objects.get(email="admin@northwind.example"))
    response = client.post("/o/northwind/api/sites", {}, content_type="application/json")
    assert_problem(response, 403, "forbidden")


def test_the_clients_certificate_is_the_sockets(northwind_site):
    fingerprint = northwind_site.get("/api/site").json()["fingerprint"]
    import hashlib

    assert fingerprint == hashlib.sha256(SITE_KEYS["northwind"].der).hexdigest()
