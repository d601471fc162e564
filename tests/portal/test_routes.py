"""Every address, tried by nobody, by a stranger's session and by a stranger's certificate.

A route that is not listed here fails the test: whoever adds one says who may use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.conftest import SiteClient, member_client, site_client
from tests.federation.world import World

ROOT, ORGANIZATION = "portal.urls", "portal.urls_organization"

#: Needs no credential and tells nothing of an organization.
OPEN = {"api/schema", "api/ca", "api/join"}
#: Tells its caller of the caller's own organization, or of what all members share.
OWN = {
    "api/site",
    "api/sites",
    "api/roster",
    "api/inbox",
    "api/ledger",
    "api/log",
    "api/jobs",
    "api/dictionaries",
    "api/dictionaries/<str:name>",
    "api/keys/current",
    "api/keys/<str:digest>",
    "api/keys/<str:digest>/confirmation",
}
_ROUND = "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>"
#: Names an object that belongs to some organizations; for the others it does not exist.
OBJECTS = {
    "api/jobs/<uuid:job_id>",
    "api/jobs/<uuid:job_id>/approval",
    "api/jobs/<uuid:job_id>/decline",
    "api/jobs/<uuid:job_id>/cancel",
    "api/jobs/<uuid:job_id>/bundle",
    "api/models/<str:digest>",
    _ROUND,
    f"{_ROUND}/transcript",
    f"{_ROUND}/release",
    f"{_ROUND}/contribution",
    f"{_ROUND}/receipt",
    f"{_ROUND}/share",
    f"{_ROUND}/refusal",
    f"{_ROUND}/verdict",
}
#: Pages of an organization: its own, and those of objects.
PAGES = {"", "budget/"}
OBJECT_PAGES = {
    "jobs/<uuid:job_id>/",
    "jobs/<uuid:job_id>/live",
    "jobs/<uuid:job_id>/approve",
    "jobs/<uuid:job_id>/decline",
    "jobs/<uuid:job_id>/cancel",
}
#: The way in, and allauth's own pages.
SIGN_IN = re.compile(r"^$|^accounts/")
OPERATORS = re.compile(r"^admin/|^operator/")


def routes(urlconf: str) -> Iterator[str]:
    def walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
        for item in resolver.url_patterns:
            route = prefix + str(item.pattern)
            if isinstance(item, URLPattern):
                yield route
            else:
                yield from walk(item, route)

    return walk(get_resolver(urlconf), "")


@pytest.fixture
def objects(db: None) -> dict[str, str]:
    """A running job of northwind, lakeside and summit; harbor is the stranger."""
    world = World()
    world.publish_key()
    world.confirm_key()
    job = world.start()
    for answer in (
        member_client("lakeside", "auditor").get(f"/o/lakeside/api/jobs/{job.pk}"),
        site_client("summit").get(f"/api/models/{job.wire.initial_state}"),
    ):
        assert answer.status_code == 200
    return {
        "job_id": str(job.pk),
        "number": "1",
        "attempt": "1",
        "digest": job.wire.initial_state,
        "name": "ward",
    }


def filled(route: str, objects: dict[str, str]) -> str:
    return re.sub(r"<\w+:(\w+)>", lambda found: objects[found[1]], route)


def tried(client: Client, path: str) -> set[int]:
    """The statuses of all methods, without those of methods that are not there."""
    answers = [
        client.get(path, secure=True),
        client.post(path, "{}", content_type="application/json", secure=True),
    ]
    statuses = {answer.status_code for answer in answers} - {405}
    assert statuses, f"{path}: no method is allowed"
    return statuses


def test_every_route_is_listed() -> None:
    api = OPEN | OWN | OBJECTS
    root = set(routes(ROOT))
    assert {r for r in root if not (SIGN_IN.match(r) or OPERATORS.match(r))} == api
    assert set(routes(ORGANIZATION)) == api | PAGES | OBJECT_PAGES


def test_nobody(client: Any, objects: dict[str, str]) -> None:
    for route in OWN | OBJECTS:
        path = filled(route, objects)
        assert tried(client, f"/{path}") == {401}, route
        assert tried(client, f"/o/northwind/{path}") <= {401, 403}, route
    for route in PAGES | OBJECT_PAGES:
        assert tried(client, f"/o/northwind/{filled(route, objects)}") <= {302, 403}, route


def test_a_strangers_session(objects: dict[str, str]) -> None:
    client = member_client("harbor", "admin")
    for route in OPEN | OWN | OBJECTS | PAGES | OBJECT_PAGES:
        path = filled(route, objects)
        assert tried(client, f"/o/northwind/{path}") == {404}, route
    for route in OBJECTS | OBJECT_PAGES:
        assert tried(client, f"/o/harbor/{filled(route, objects)}") <= {404, 401, 403}, route
    for route in OWN | OBJECTS:
        assert tried(client, f"/{filled(route, objects)}") == {401}, route


def test_a_strangers_certificate(objects: dict[str, str]) -> None:
    client = site_client("harbor")
    for route in OPEN | OWN | OBJECTS:
        assert tried(client, f"/o/northwind/{filled(route, objects)}") == {404}, route
    for route in OBJECTS:
        assert tried(client, f"/{filled(route, objects)}") == {404}, route
    for route in PAGES | OBJECT_PAGES:
        assert tried(client, f"/o/northwind/{filled(route, objects)}") <= {302, 403}, route


def test_a_certificate_of_nobody(objects: dict[str, str]) -> None:
    client = SiteClient(b"of another consortium")
    for route in OWN | OBJECTS:
        assert tried(client, f"/{filled(route, objects)}") == {401}, route


@pytest.mark.django_db
def test_the_operators_addresses(client: Any) -> None:
    member = member_client("northwind", "admin")
    listed = [route for route in routes(ROOT) if OPERATORS.match(route)]
    assert len(listed) > 20
    for route in listed:
        if "(?P" in route or "<path:content_type_id>" in route:
            continue
        path = re.sub(r"<\w+:\w+>", "00000000-0000-0000-0000-000000000000", route)
        for who in (client, member):
            assert tried(who, f"/{path}") <= {301, 302, 403, 404}, route
