"""Every address of the project, walked by a stranger: expected answers stand in one table.

The stranger is harbor: an admin with a session, and a site with a valid certificate. All objects
in the addresses are of a job that harbor takes no part in. A route that the table does not list
fails the test, so that nobody adds one without saying what strangers get.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from apps.attempts.services.agreements import attempt_open
from apps.audit.models import Verification
from apps.audit.verification import verification_ask
from apps.benchmarks.services.campaigns import OPERATOR, campaign_create
from apps.common.actor import Actor
from tests.benchmarks.world import draft
from tests.budgets.test_allotments import ask
from tests.conftest import SiteClient, member_client, site_client
from tests.training.conftest import world
from tests.training.test_job_whole import play
from tests.training.world import World

__all__ = ["world"]

ADMIN = "admin/"


class Expect(NamedTuple):
    """Status codes of GET and POST, by session and by certificate."""

    session_get: int
    session_post: int
    certificate_get: int
    certificate_post: int


# Under /api/: by certificate at the root; by session at the stranger's own /o/harbor/.
PUBLIC = Expect(200, 405, 200, 405)
OWN_SITE = Expect(401, 401, 200, 405)
OWN_BOTH = Expect(200, 403, 200, 405)
FOREIGN = Expect(404, 403, 404, 405)
FOREIGN_SITE = Expect(401, 401, 404, 405)
FOREIGN_SENT = Expect(401, 401, 405, 404)
API = {
    "api/schema": PUBLIC,
    "api/ca": PUBLIC,
    "api/join": Expect(405, 422, 405, 422),
    "api/site": OWN_SITE,
    "api/site/certificate": Expect(401, 401, 405, 422),
    "api/sites": OWN_BOTH,
    "api/ledger": Expect(200, 403, 200, 422),
    "api/ledger/allotments": Expect(200, 422, 200, 403),
    "api/ledger/allotments/<uuid:request_id>": FOREIGN,
    "api/roster": OWN_SITE,
    "api/keys/current": OWN_SITE,
    "api/keys/<str:digest>": FOREIGN_SITE,
    "api/keys/<str:digest>/confirmation": FOREIGN_SENT,
    "api/keys/<str:digest>/retirement": FOREIGN_SENT,
    "api/inbox": OWN_SITE,
    "api/dictionaries": Expect(200, 403, 200, 422),
    "api/dictionaries/<str:name>": FOREIGN,
    "api/jobs": Expect(200, 403, 200, 422),
    "api/jobs/<uuid:job_id>": FOREIGN,
    "api/jobs/<uuid:job_id>/approval": FOREIGN_SENT,
    "api/jobs/<uuid:job_id>/decline": FOREIGN_SENT,
    "api/jobs/<uuid:job_id>/cancel": FOREIGN_SENT,
    "api/jobs/<uuid:job_id>/bundle": FOREIGN,
    "api/jobs/<uuid:job_id>/card": FOREIGN,
    "api/models/<sha256:digest>": FOREIGN,
    "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>": FOREIGN,
    "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>/transcript": FOREIGN,
    "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>/release": FOREIGN,
    "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>/vectors/<sha256:digest>": FOREIGN,
    "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>/contribution": FOREIGN_SENT,
    "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>/receipt": FOREIGN_SENT,
    "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>/share": FOREIGN_SENT,
    "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>/refusal": FOREIGN_SENT,
    "api/jobs/<uuid:job_id>/rounds/<int:number>/<int:attempt>/verdict": FOREIGN_SENT,
    "api/log": OWN_BOTH,
    "api/health": Expect(200, 405, 200, 405),
    "api/campaigns": Expect(200, 422, 200, 422),
    "api/campaigns/<uuid:campaign_id>": Expect(404, 405, 404, 405),
    "api/campaigns/<uuid:campaign_id>/approval": FOREIGN_SENT,
    "api/campaigns/<uuid:campaign_id>/decline": FOREIGN_SENT,
    "api/campaigns/<uuid:campaign_id>/export": FOREIGN,
    "api/campaigns/<uuid:campaign_id>/bundle": FOREIGN,
    "api/campaigns/<uuid:campaign_id>/runs/<int:number>": FOREIGN,
    "api/campaigns/<uuid:campaign_id>/runs/<int:number>/transcript": FOREIGN,
    "api/campaigns/<uuid:campaign_id>/runs/<int:number>/release": FOREIGN,
    "api/campaigns/<uuid:campaign_id>/runs/<int:number>/submission": FOREIGN_SENT,
    "api/campaigns/<uuid:campaign_id>/runs/<int:number>/receipt": FOREIGN_SENT,
    "api/campaigns/<uuid:campaign_id>/runs/<int:number>/noise": FOREIGN_SENT,
    "api/campaigns/<uuid:campaign_id>/runs/<int:number>/share": FOREIGN_SENT,
    "api/campaigns/<uuid:campaign_id>/runs/<int:number>/refusal": FOREIGN_SENT,
    "api/campaigns/<uuid:campaign_id>/runs/<int:number>/verdict": FOREIGN_SENT,
    "api/witnesses": Expect(200, 403, 200, 422),
    "api/logs/<str:log>/cosign": Expect(401, 401, 404, 422),
    "api/logs/<str:log>/checkpoint": FOREIGN,
    "api/logs/<str:log>/tile/<str:level>/<path:index>": FOREIGN,
}
WITHOUT_CREDENTIAL = {"api/schema", "api/ca", "api/join", "api/health"}

# Pages know no certificate: who comes with one is asked to sign in (302).
PAGES = {
    "": Expect(200, 405, 302, 302),
    "budget/": Expect(200, 405, 302, 302),
    "budget/allot": Expect(405, 302, 302, 302),
    "benchmarks/": Expect(200, 405, 302, 302),
    "benchmarks/<uuid:campaign_id>/": Expect(404, 405, 302, 302),
    "benchmarks/<uuid:campaign_id>/approve": Expect(405, 404, 302, 302),
    "jobs/<uuid:job_id>/": Expect(404, 405, 302, 302),
    "jobs/<uuid:job_id>/card": Expect(404, 405, 302, 302),
    "jobs/<uuid:job_id>/live": Expect(404, 405, 302, 302),
    "jobs/<uuid:job_id>/approve": Expect(405, 404, 302, 302),
    "jobs/<uuid:job_id>/decline": Expect(405, 404, 302, 302),
    "jobs/<uuid:job_id>/cancel": Expect(405, 404, 302, 302),
    "jobs/<uuid:job_id>/verify": Expect(405, 404, 302, 302),
    "jobs/<uuid:job_id>/report/": Expect(404, 405, 302, 302),
    "benchmarks/<uuid:campaign_id>/report/": Expect(404, 405, 302, 302),
    "report/": Expect(200, 405, 302, 302),
    "events/": Expect(200, 405, 302, 302),
    "events/<str:log>/<uuid:event_id>/": Expect(404, 405, 302, 302),
    "benchmarks/<uuid:campaign_id>/verify": Expect(405, 404, 302, 302),
    "verify/": Expect(200, 422, 302, 302),
    "verify/<uuid:verification_id>/": Expect(404, 405, 302, 302),
    "verify/<uuid:verification_id>/live": Expect(404, 405, 302, 302),
}

# At the root a person is no organization's member, so the API answers 401.
ROOT_PAGES = {
    "": Expect(302, 405, 302, 405),
    "operator/": Expect(404, 405, 302, 405),
    "operator/benchmarks/": Expect(404, 404, 302, 302),
    "operator/schedules/": Expect(405, 404, 405, 302),
    "operator/report/": Expect(404, 405, 302, 405),
    "operator/events/": Expect(404, 405, 302, 405),
    "operator/events/<uuid:event_id>/": Expect(404, 405, 302, 405),
    "api/operator/campaigns": Expect(404, 404, 401, 401),
    "api/operator/campaigns/<uuid:campaign_id>": Expect(404, 404, 401, 401),
    "accounts/login/": Expect(302, 302, 200, 200),
    "accounts/logout/": Expect(200, 302, 302, 302),
    "accounts/inactive/": Expect(200, 405, 200, 405),
    "accounts/signup/": Expect(302, 302, 200, 200),
    "accounts/reauthenticate/": Expect(200, 200, 302, 302),
    "accounts/email/": Expect(200, 302, 302, 302),
    "accounts/confirm-email/": Expect(200, 405, 200, 405),
    "accounts/password/change/": Expect(200, 200, 302, 302),
    "accounts/password/set/": Expect(302, 302, 302, 302),
    "accounts/password/reset/": Expect(200, 200, 200, 200),
    "accounts/login/code/confirm/": Expect(302, 302, 302, 302),
    r"accounts/^confirm-email/(?P<key>[-:\w]+)/$": Expect(200, 404, 200, 404),
    "accounts/password/reset/key/done/": Expect(200, 405, 200, 405),
    r"accounts/^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": Expect(
        200, 200, 200, 200
    ),
    "accounts/password/reset/done/": Expect(200, 405, 200, 405),
}


def routes(urlconf: str) -> list[str]:
    def walk(resolver: URLResolver, prefix: str) -> Iterator[str]:
        for entry in resolver.url_patterns:
            route = prefix + str(entry.pattern)
            if isinstance(entry, URLPattern):
                yield route
            else:
                yield from walk(entry, route)

    return list(walk(get_resolver(urlconf), ""))


ROOT = routes("portal.urls")
ORGANIZATION = routes("portal.urls_organization")


def test_every_route_is_in_the_table() -> None:
    assert {r for r in ROOT if not r.startswith(ADMIN)} == API.keys() | ROOT_PAGES.keys()
    assert set(ORGANIZATION) == API.keys() | PAGES.keys()


@pytest.fixture
def fill(world: World) -> Any:
    """``fill(route)``: the address with the ids of a finished job that is not harbor's."""
    job = world.start(rounds=1)
    play(world, job)
    campaign = campaign_create(draft=draft(), creator=OPERATOR, actor=Actor.system("tests"))
    attempt_open(campaign, number=1)
    asked = verification_ask(
        kind=Verification.Kind.JOB,
        subject_id=job.pk,
        organization="northwind",
        actor=Actor.system("tests"),
    )
    values = {
        "<uuid:job_id>": str(job.pk),
        "<uuid:campaign_id>": str(campaign.pk),
        "runs/<int:number>": "runs/1",
        "<uuid:request_id>": str(ask().pk),
        "<int:number>/<int:attempt>": "1/1",
        "models/<str:digest>": f"models/{job.model_digest}",
        "keys/<str:digest>": f"keys/{'0' * 64}",
        "<sha256:digest>": "0" * 64,
        "<str:name>": "another",
        "<str:log>": "own",
        "<uuid:event_id>": str(job.pk),
        "<uuid:verification_id>": str(asked.pk),
        "<str:level>/<path:index>": "0/000.p/255",
        r"^confirm-email/(?P<key>[-:\w]+)/$": "confirm-email/abc/",
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": "password/reset/key/1-a/",
        "<path:content_type_id>/<path:object_id>": f"1/{job.pk}",
        "<path:object_id>": str(job.pk),
        "^(?P<app_label>": "training/^",
        "(?P<url>.*)$": "nothing",
    }

    def act(route: str) -> str:
        for pattern, value in values.items():
            route = route.replace(pattern, value)
        return route.partition("^")[0]

    return act


def answers(client: Client, path: str) -> tuple[int, int]:
    read = client.get(path, secure=True).status_code
    if "/api/" in path:
        return read, client.post(
            path, b"{}", content_type="application/json", secure=True
        ).status_code
    return read, client.post(path, {}, secure=True).status_code


def test_a_stranger_gets_what_the_table_says(world: World, fill: Any) -> None:
    found, expected = {}, {}
    for route, expect in (API | PAGES).items():
        path = fill(route)
        session = answers(member_client("harbor", "admin"), f"/o/harbor/{path}")
        base = "/" if route in API else "/o/harbor/"
        certificate = answers(site_client("harbor"), base + path)
        found[route], expected[route] = Expect(*session, *certificate), expect
    assert found == expected


def test_at_the_root_too(world: World, fill: Any) -> None:
    found, expected = {}, {}
    for route, expect in ROOT_PAGES.items():
        path = f"/{fill(route)}"
        session = answers(member_client("harbor", "admin"), path)
        certificate = answers(site_client("harbor"), path)
        found[route], expected[route] = Expect(*session, *certificate), expect
    assert found == expected


def test_the_api_at_the_root_wants_a_certificate(world: World, fill: Any) -> None:
    client = member_client("harbor", "admin")
    listed = API.keys() - WITHOUT_CREDENTIAL
    given = {route: answers(client, f"/{fill(route)}") for route in listed}
    assert set(given.values()) <= {(401, 401)}, given


def test_nothing_of_another_organizations_address_is_there(world: World, fill: Any) -> None:
    """By session or by certificate, whatever follows /o/northwind/."""
    for route in ORGANIZATION:
        path = f"/o/northwind/{fill(route)}"
        assert answers(member_client("harbor", "admin"), path) == (404, 404), path
        wanted = (404, 404) if route in API else (302, 302)
        assert answers(site_client("harbor"), path) == wanted, path


def test_nobody_is_asked_to_sign_in(world: World, fill: Any, client: Client) -> None:
    """With no credential at all, and with a certificate of another consortium."""
    for route in API.keys() - WITHOUT_CREDENTIAL:
        path = fill(route)
        assert set(answers(client, f"/{path}")) == {401}, route
        assert set(answers(client, f"/o/northwind/{path}")) <= {401, 403}, route
        assert set(answers(SiteClient(b"of another consortium"), f"/{path}")) == {401}, route
    for route in PAGES:
        assert set(answers(client, f"/o/northwind/{fill(route)}")) <= {302, 403}, route


def test_the_admin_asks_strangers_to_sign_in(fill: Any) -> None:
    own = {"admin/login/", "admin/logout/"}
    for client in (Client(), member_client("harbor", "admin"), member_client("northwind", "admin")):
        for route in ROOT:
            if route.startswith(ADMIN) and route not in own:
                answer = client.get(f"/{fill(route)}", secure=True)
                assert answer.status_code in (302, 403, 404), route
                if answer.status_code == 302:
                    assert answer["Location"].startswith("/a"), route
