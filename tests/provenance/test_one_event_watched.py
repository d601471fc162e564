"""The watch over all tests' transactions (tests/one_event.py) sees what it is there for."""

from __future__ import annotations

import textwrap

import pytest
from django.db import transaction

from apps.organizations.models import Organization
from apps.organizations.services import join_token_issue
from tests.one_event import ROOT, watched
from tests.provenance.conftest import ACTOR

SERVICES = """
from django.db import transaction

from apps.organizations.models import Organization
from apps.provenance.services import event_record, events_record
from apps.provenance.tags import Tag


def rename(name):
    Organization.objects.filter(slug="northwind").update(name=name)


def tell(actor, subject="northwind"):
    event_record(tag=Tag.ORGANIZATION_CREATED, actor=actor, subject=("organization", subject))


def silent():
    rename("x")


@transaction.atomic
def silent_whole():
    rename("x")


@transaction.atomic
def told(actor):
    rename("x")
    tell(actor)


@transaction.atomic
def two_things(actor):
    rename("x")
    tell(actor)
    tell(actor, "lakeside")


@transaction.atomic
def told_twice(actor):
    rename("x")
    tell(actor)
    tell(actor)


def tell_all(actor, *subjects):
    events_record(
        {"tag": Tag.ORGANIZATION_CREATED, "actor": actor, "subject": ("organization", subject)}
        for subject in subjects
    )


@transaction.atomic
def told_together(actor):
    rename("x")
    tell_all(actor, "northwind", "lakeside")


@transaction.atomic
def told_together_twice(actor):
    rename("x")
    tell_all(actor, "northwind", "northwind")


@transaction.atomic
def undone(actor):
    try:
        with transaction.atomic():
            rename("x")
            raise ValueError
    except ValueError:
        pass


@transaction.atomic
def outer(actor):
    silent_whole()
    tell(actor)


def apart(actor):
    rename("x")
    tell(actor)
"""


@pytest.fixture
def services(db: None) -> dict:
    """Code that stands, to all appearances, in an app."""
    names: dict = {}
    file = f"{ROOT}/apps/somewhere/services.py"
    exec(compile(textwrap.dedent(SERVICES), file, "exec"), names)
    return names


def problems(function, *arguments) -> list[str]:
    # Rolled back, so that the watch over this test itself sees nothing.
    with watched() as watch, transaction.atomic():
        savepoint = transaction.savepoint()
        watch.open.clear()
        function(*arguments)
        found = list(watch.problems)
        transaction.savepoint_rollback(savepoint)
    return found


@pytest.mark.parametrize("name", ["told", "two_things", "told_together", "undone", "outer"])
def test_what_is_told_once_passes(services: dict, name: str) -> None:
    assert problems(services[name], ACTOR) == []


def test_a_change_without_an_event_is_found(services: dict) -> None:
    for name in ("silent", "silent_whole"):
        (problem,) = problems(services[name])
        assert "organizations_organization" in problem and "no event" in problem


def test_a_change_that_is_told_in_another_transaction_is_found(services: dict) -> None:
    (problem,) = problems(services["apart"], ACTOR)
    assert "no event" in problem


def test_an_event_told_twice_is_found(services: dict) -> None:
    for name in ("told_twice", "told_together_twice"):
        (problem,) = problems(services[name], ACTOR)
        assert "more than once" in problem


def test_admission_tells_both_logs(northwind: Organization) -> None:
    assert problems(lambda: join_token_issue(organization=northwind, actor=ACTOR)) == []


def test_what_a_test_writes_itself_does_not_count(db: None) -> None:
    assert problems(lambda: Organization.objects.filter(slug="northwind").update(name="x")) == []
