"""People sign in with e-mail and password, and land where they belong."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django_tenants.utils import tenant_context

from apps.accounts.models import Membership, User
from apps.accounts.services import member_add, member_remove
from apps.common.actor import Actor
from apps.provenance.models import Event
from apps.provenance.tags import Tag
from federated.errors import InvalidInput, NotFound
from tests.conftest import PASSWORD, member_client

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("tests")


def sign_in(client: Client, email: str, password: str, path: str = "/accounts/login/"):
    return client.post(path, {"login": email, "password": password}, secure=True)


def test_sign_in(client):
    response = sign_in(client, "Admin@Northwind.example", PASSWORD)
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/", secure=True)["Location"] == "/o/northwind/"


def test_sign_in_leads_back(client):
    login = client.get("/o/northwind/jobs/", secure=True)["Location"]
    response = sign_in(client, "admin@northwind.example", PASSWORD, login)
    assert response["Location"] == "/o/northwind/jobs/"


def test_a_wrong_password(client):
    response = sign_in(client, "admin@northwind.example", "wrong")
    assert response.status_code == 200
    assert "_auth_user_id" not in client.session


def test_a_person_who_is_not_active(client):
    User.objects.filter(email="admin@northwind.example").update(is_active=False)
    sign_in(client, "admin@northwind.example", PASSWORD)
    assert "_auth_user_id" not in client.session


def test_nobody_signs_up(client):
    fields = {"email": "x@x.example", "password1": PASSWORD, "password2": PASSWORD}
    client.post("/accounts/signup/", fields, secure=True)
    assert not User.objects.filter(email="x@x.example").exists()


def test_members_of_several_choose(db, lakeside):
    member_add(
        organization=lakeside,
        email="admin@northwind.example",
        role="auditor",
        password=None,
        actor=SYSTEM,
    )
    response = member_client("northwind", "admin").get("/")
    assert response.status_code == 200
    assert b"/o/northwind/" in response.content and b"/o/lakeside/" in response.content
    assert member_client("northwind", "admin").get("/o/lakeside/api/sites").status_code == 200


def test_members_of_nothing(db, northwind):
    user = User.objects.get(email="admin@northwind.example")
    client = member_client("northwind", "admin")
    member_remove(organization=northwind, user=user, actor=SYSTEM)
    assert client.get("/o/northwind/api/sites").status_code == 404
    assert client.get("/").status_code == 200
    with pytest.raises(NotFound):
        member_remove(organization=northwind, user=user, actor=SYSTEM)


def test_a_role_changes_and_the_organizations_log_tells_it(northwind):
    before = Membership.objects.count()
    for _ in range(2):
        member_add(
            organization=northwind,
            email="auditor@northwind.example",
            role="scientist",
            password=None,
            actor=SYSTEM,
        )
    assert Membership.objects.count() == before
    user = User.objects.get(email="auditor@northwind.example")
    with tenant_context(northwind):
        told = Event.objects.filter(tag=Tag.MEMBER_ADDED, subject_id=str(user.pk))
        assert told.count() == 2
    assert not Event.objects.filter(tag=Tag.MEMBER_ADDED).exists()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"role": "owner"}, "admin, scientist, auditor"),
        ({"email": "not an address"}, "valid email"),
        ({"password": "short"}, "too short"),
        ({"password": "password12345"}, "too common"),
    ],
)
def test_bad_members(northwind, change, word):
    fields = {"email": "new@northwind.example", "role": "admin", "password": PASSWORD, **change}
    with pytest.raises(InvalidInput, match=word):
        member_add(organization=northwind, actor=SYSTEM, **fields)
    assert not User.objects.filter(email=fields["email"]).exists()


def test_the_admin_is_for_operators(client, northwind_admin, operator):
    assert client.get("/admin/", follow=True).redirect_chain[-1][0].startswith("/accounts/login/")
    assert northwind_admin.get("/admin/").status_code in (302, 403)
    assert operator.get("/admin/").status_code == 200
    assert operator.get("/")["Location"] == "/operator/"


def test_the_admin_only_looks(operator):
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert operator.get(reverse(f"{name}_changelist")).status_code == 200, name
        assert operator.get(reverse(f"{name}_add")).status_code == 403, name
        row = model._default_manager.first()
        if row is not None:
            page = reverse(f"{name}_change", args=[row.pk])
            assert operator.get(page).status_code == 200, name
            assert operator.post(page, {}).status_code == 403, name
            assert operator.post(reverse(f"{name}_delete", args=[row.pk])).status_code == 403


def test_a_forgotten_password_goes_by_mail(client, mailoutbox, caplog):
    response = client.post(
        "/accounts/password/reset/", {"email": "admin@northwind.example"}, secure=True
    )
    assert response.status_code == 302
    (letter,) = mailoutbox
    link = next(word for word in letter.body.split() if "/accounts/password/reset/key/" in word)
    assert link.startswith("https://")
    assert link not in caplog.text


def test_a_strangers_address_gets_no_letter(client, mailoutbox):
    response = client.post("/accounts/password/reset/", {"email": "x@x.example"}, secure=True)
    assert response.status_code == 302
    assert not any("/key/" in letter.body for letter in mailoutbox)
