"""The fixed cast, made once a session; every test rolls back what it did.

northwind, lakeside and summit take part in what tests do; harbor is a member of the consortium
that takes part in nothing: the outsider. Each has an admin, a scientist, an auditor and a site.
Tests run under the application's database roles: the connection logs in as the owner, and then
works as ``fsc_app`` or as an organization's role (``owner_role`` steps out of that).

A ``transaction=True`` test would flush the cast, and events cannot be deleted: there are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg import sql

from federated.privacy import discrete_gaussian
from portal.config import ROLES
from portal.up.postgres import Postgres
from tests.one_event import watched
from tests.services import ensure_services

CAST = ("northwind", "lakeside", "summit")
OUTSIDER = "harbor"
ORGANIZATIONS = (*CAST, OUTSIDER)
ROLE_NAMES = ("admin", "scientist", "auditor")
PASSWORD = "a long test passphrase"

# A busy machine is no fault of an example, and one run's examples are the next one's. Fresh ones:
# pytest --hypothesis-profile=explore
_PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
hypothesis_settings.register_profile("seeded", derandomize=True, **_PATIENT)
hypothesis_settings.register_profile("explore", **_PATIENT)
hypothesis_settings.load_profile("seeded")


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Keys, ciphertexts and signatures are fresh in every process; a test's name may not be."""
    long = isinstance(val, bytes | str) and len(val) > 24
    large = isinstance(val, int) and abs(val) >= 2**64
    return argname if long or large else None


class PeerSocket:
    """Stands where gunicorn puts the TLS socket: it gives the accepted client certificate."""

    def __init__(self, der: bytes | None) -> None:
        self.der = der

    def getpeercert(self, binary_form: bool = False) -> bytes | None:
        assert binary_form
        return self.der


@dataclass(frozen=True)
class SiteKeys:
    """What a site keeps to itself."""

    key: Any  # ec.EllipticCurvePrivateKey
    certificate: str  # PEM
    der: bytes
    encryption_key: Any  # X25519PrivateKey


SITE_KEYS: dict[str, SiteKeys] = {}


@contextmanager
def owner_role() -> Iterator[None]:
    """Work as the tables' owner, as migrations do."""
    with connection.as_login_role():
        yield


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    config = ensure_services()
    connection.settings_dict["USER"] = ROLES["owner"]
    connection.settings_dict["PASSWORD"] = config.secret("postgres_owner")
    settings.FSC_DB_ROLE = "owner"
    connection.enforces_roles = False
    # Passwords of tests protect nothing, and slow hashes would take most of the time.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with Postgres(config).connect("postgres") as superuser:
        # The owner creates the test database, and works as the application's role in tests.
        superuser.execute("GRANT fsc_app TO fsc_owner")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        make_cast()
        allow_roles()
        connection.close()
    settings.FSC_DB_ROLE = "app"
    connection.enforces_roles = True
    yield
    # The owner also drops the database.
    settings.FSC_DB_ROLE = "owner"
    connection.enforces_roles = False


def allow_roles() -> None:
    """Let the owner's session work as each organization's role."""
    with connection.cursor() as cursor:
        for slug in ORGANIZATIONS:
            role = sql.Identifier(f"t_{slug}")
            cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH SET TRUE").format(role))


def make_cast() -> None:
    from apps.accounts.services import member_add
    from apps.common.actor import Actor
    from apps.organizations import ca
    from apps.organizations.services import join_token_issue, organization_create, site_join
    from tests.site_keys import site_request

    ca.ensure()
    system = Actor.system("tests")
    for slug in ORGANIZATIONS:
        organization = organization_create(slug=slug, name=slug.title(), actor=system)
        token = join_token_issue(organization=organization, actor=system)
        key, csr, encryption_key = site_request(slug)
        joined = site_join(
            token=token, csr_pem=csr, encryption_key=encryption_key.public_key().public_bytes_raw()
        )
        SITE_KEYS[slug] = SiteKeys(
            key, joined.certificate.pem, pem_der(joined.certificate.pem), encryption_key
        )
        for role in ROLE_NAMES:
            email = f"{role}@{slug}.example"
            member_add(
                organization=organization, email=email, role=role, password=PASSWORD, actor=system
            )


def pem_der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)


@pytest.fixture
def seeded_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same noise in every run, for tests of what is learned under it.

    A caller that gives the sampler a source of its own keeps it. The sampler draws from the
    operating system again after the test.
    """
    source = np.random.Generator(np.random.PCG64(1)).bytes
    monkeypatch.setattr(
        discrete_gaussian, "sample", partial(discrete_gaussian.sample, source=source)
    )


@pytest.fixture(autouse=True)
def clean_start() -> Iterator[None]:
    """Neither a chosen schema nor the cache passes from one test to the next."""
    connection.set_schema_to_public()
    yield
    connection.set_schema_to_public()
    if services_run():
        cache.clear()


@pytest.fixture(autouse=True)
def one_event_a_transaction(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which a service changed rows and told it in no event, or told it twice."""
    if "db" not in request.fixturenames and not request.node.get_closest_marker("django_db"):
        yield
        return
    request.getfixturevalue("db")
    with watched() as watch:
        yield
    if watch.problems:
        pytest.fail("\n".join(watch.problems), pytrace=False)


def services_run() -> bool:
    """Whether this session has set the database up (tests of ``federated`` alone do not)."""
    return bool(connection.settings_dict["USER"] == ROLES["owner"])


class SiteClient(Client):
    """A client behind a TLS connection with a client certificate; bodies are JSON."""

    def __init__(self, der: bytes | None, **defaults: Any) -> None:
        super().__init__(**{"gunicorn.socket": PeerSocket(der), **defaults})
        self.der = der


def site_client(slug: str) -> SiteClient:
    return SiteClient(SITE_KEYS[slug].der)


def member_client(slug: str, role: str) -> Client:
    """A signed-in member; addresses are under /o/<slug>/."""
    from apps.accounts.models import User

    client = Client()
    client.force_login(User.objects.get(email=f"{role}@{slug}.example"))
    return client


def _client_fixtures() -> None:
    """northwind_admin ... harbor_auditor, and northwind_site ... harbor_site."""

    def member(slug: str, role: str) -> Any:
        @pytest.fixture(name=f"{slug}_{role}")
        def client(db: None) -> Client:
            return member_client(slug, role)

        return client

    def site(slug: str) -> Any:
        @pytest.fixture(name=f"{slug}_site")
        def client(db: None) -> SiteClient:
            return site_client(slug)

        return client

    def organization(slug: str) -> Any:
        @pytest.fixture(name=slug)
        def row(db: None) -> Any:
            from apps.organizations.models import Organization

            return Organization.objects.get(slug=slug)

        return row

    for slug in ORGANIZATIONS:
        globals()[f"fixture_{slug}"] = organization(slug)
        globals()[f"fixture_{slug}_site"] = site(slug)
        for role in ROLE_NAMES:
            globals()[f"fixture_{slug}_{role}"] = member(slug, role)


_client_fixtures()


@pytest.fixture
def operator(db: None) -> Client:
    """A signed-in consortium operator, member of no organization."""
    from apps.accounts.services import user_ensure
    from apps.common.actor import Actor

    user = user_ensure(
        email="operator@consortium.example",
        password=PASSWORD,
        actor=Actor.system("tests"),
        operator=True,
    )
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def site_keys() -> dict[str, SiteKeys]:
    """What each organization's site keeps to itself, by slug."""
    return SITE_KEYS
