"""Commands that make people: passwords go through files, a second run changes nothing."""

from __future__ import annotations

import stat

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from apps.accounts.models import Membership, User
from apps.accounts.passwords import password_path
from apps.provenance.models import Event
from apps.provenance.tags import Tag
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def kept_password(name: str) -> str:
    path = password_path(name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return path.read_text().strip()


def test_bootstrap_twice(capsys):
    for _ in range(2):
        call_command("bootstrap", "--operator", "op@example.org")
    operator = User.objects.get(is_operator=True)
    password = kept_password("op@example.org")
    assert operator.check_password(password)
    assert password not in capsys.readouterr().out
    assert Event.objects.filter(tag=Tag.CONSORTIUM_STARTED).count() == 1
    assert settings.FSC_CONFIG.crl.exists()


def test_a_new_member_gets_a_password(capsys):
    call_command("member_add", "northwind", "New@northwind.example", "scientist")
    user = User.objects.get(email="new@northwind.example")
    password = kept_password("new@northwind.example")
    assert user.check_password(password)
    out = capsys.readouterr().out
    assert str(password_path("new@northwind.example")) in out and password not in out
    assert Membership.objects.get(user=user).role == "scientist"


def test_a_password_from_a_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    call_command(
        "member_add", "northwind", "new@northwind.example", "admin", "--password-file", file
    )
    assert User.objects.get(email="new@northwind.example").check_password(PASSWORD)


def test_a_known_person_keeps_theirs():
    before = User.objects.get(email="admin@lakeside.example").password
    call_command("member_add", "northwind", "admin@lakeside.example", "auditor")
    assert User.objects.get(email="admin@lakeside.example").password == before


def test_errors_are_said(tmp_path):
    with pytest.raises(CommandError, match="nowhere: No such organization"):
        call_command("member_add", "nowhere", "a@b.example", "admin")
    with pytest.raises(CommandError, match="No such file"):
        call_command(
            "member_add", "northwind", "a@b.example", "admin", "--password-file", tmp_path / "x"
        )
