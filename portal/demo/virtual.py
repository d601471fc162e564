"""Adds the demonstration's sixty virtual organizations, marked so in the database.

Each has a row, a schema, a site key and a certificate of its own, and a site folder with the real
agent's work; what it measures is drawn. Its schema is copied from another's, which is quicker than
migrating it, and enough for a temporary organization.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from django.db import connection, transaction
from django_tenants.utils import quote_schema_name

from apps.common.actor import Actor
from apps.common.requests import tenant_connection
from apps.keys.selectors import key_epoch_current
from apps.organizations.models import Organization
from apps.organizations.services import join_token_issue
from apps.provenance.services import consortium_event_record
from apps.provenance.tags import Tag
from federated.api.coordinator import CoordinatorAPI
from federated.site.agent import task_do
from federated.site.campaign_folder import measurements_of
from federated.site.folder import SiteHome
from federated.site.join import site_join
from federated.site.site import Site
from federated.wire.campaign import CampaignSpec
from federated.wire.site import CampaignTask, RunTask
from portal.tenancy.grants import grants_apply

ACTOR = Actor.system("demonstration")
MEASURED_AT = "2026-01-01T00:00:00Z"


@dataclass
class Virtual:
    """One virtual organization's site: the agent's own work, of campaigns alone."""

    slug: str
    site: Site

    def measure(self, spec: CampaignSpec, values: dict[str, float]) -> None:
        """Let drawn values wait for the next run, as if they had been measured."""
        made = measurements_of(spec, values, measured_at=MEASURED_AT, workload="drawn")
        self.site.home.campaign(spec.campaign_id).wait(made)

    def step(self) -> int:
        """Do what campaigns ask of the site now; how many things that was."""
        tasks = [t for t in self.site.api.inbox().tasks if isinstance(t, CampaignTask | RunTask)]
        with self.site.home.lock():
            for task in tasks:
                task_do(self.site, task)
        return len(tasks)

    def close(self) -> None:
        self.site.api.close()


def admit(count: int, *, like: str, url: str, folder: Path) -> list[Virtual]:
    """Admit and join ``count`` virtual organizations, with schemas like that of ``like``."""
    slugs = [f"virtual_{number:02}" for number in range(1, count + 1)]
    for slug in slugs:
        _organization(slug, like=f"t_{like}")
    tenant_connection().set_schema_to_public()
    grants_apply(public=False, schemas=[f"t_{slug}" for slug in slugs])
    # Only now: the workers turn to every active organization.
    Organization.objects.filter(slug__in=slugs).update(state=Organization.State.ACTIVE)
    return [_join(slug, url=url, home=folder / slug) for slug in slugs]


def _organization(slug: str, *, like: str) -> None:
    schema = f"t_{slug}"
    with transaction.atomic():
        _schema_copy(like, schema)
        Organization.objects.create(
            slug=slug,
            name=f"Virtual {slug.removeprefix('virtual_')}",
            schema_name=schema,
            virtual=True,
        )
        consortium_event_record(
            tag=Tag.ORGANIZATION_CREATED,
            actor=ACTOR,
            subject=("organization", slug),
            data={"name": slug, "virtual": True},
        )


def _schema_copy(like: str, schema: str) -> None:
    """Tables with defaults, indexes and checks, then foreign keys, functions and triggers; no rows
    but the record of migrations."""
    source, target = quote_schema_name(like), quote_schema_name(schema)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {target}")
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [like])
        for (table,) in cursor.fetchall():
            name = quote_schema_name(table)
            cursor.execute(f"CREATE TABLE {target}.{name} (LIKE {source}.{name} INCLUDING ALL)")
        cursor.execute(
            f"INSERT INTO {target}.django_migrations (app, name, applied) "
            f"SELECT app, name, applied FROM {source}.django_migrations"
        )
        cursor.execute(
            "SELECT c.conrelid::regclass::text, quote_ident(c.conname), pg_get_constraintdef(c.oid)"
            " FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace"
            " WHERE n.nspname = %s AND c.contype = 'f'",
            [like],
        )
        for table, name, definition in cursor.fetchall():
            moved = definition.replace(f"{like}.", f"{schema}.")
            cursor.execute(
                f"ALTER TABLE {_moved(table, like, schema)} ADD CONSTRAINT {name} {moved}"
            )
        cursor.execute(
            "SELECT pg_get_functiondef(p.oid) FROM pg_proc p"
            " JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %s",
            [like],
        )
        for (definition,) in cursor.fetchall():
            cursor.execute(definition.replace(f"{like}.", f"{schema}."))
        cursor.execute(
            "SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t"
            " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND NOT t.tgisinternal",
            [like],
        )
        for (definition,) in cursor.fetchall():
            cursor.execute(definition.replace(f"{like}.", f"{schema}."))


def _moved(table: str, like: str, schema: str) -> str:
    return table.replace(f"{like}.", f"{schema}.")


def _join(slug: str, *, url: str, home: Path) -> Virtual:
    tenant_connection().set_schema_to_public()
    organization = Organization.objects.get(slug=slug)
    token = join_token_issue(organization=organization, actor=ACTOR)
    site = site_join(url, token, home)
    policy = {
        "approve": "auto",
        "campaigns": {"max_epsilon": 8.0},
        "key_epochs": [key_epoch_current().digest],
    }
    (home / "policy.yaml").write_text(yaml.safe_dump(policy))
    site = SiteHome(site.path)
    api = CoordinatorAPI.for_site(url, site.credentials)
    return Virtual(slug, Site(site, api))


def drawn(spec: CampaignSpec, seed: int, centers: dict[str, float]) -> dict[str, float]:
    """Values about these centers, log-normal, within the campaign's bounds."""
    rng = random.Random(seed)  # noqa: S311  (a demonstration's values are no secret)
    factor = rng.lognormvariate(0, 0.5)
    values = {}
    for metric in spec.metrics:
        value = centers[metric.key] * (factor if metric.better == "lower" else 1 / factor)
        values[metric.key] = min(max(value, metric.lower), metric.upper)
    return values


def step_all(virtual: Sequence[Virtual]) -> None:
    for one in virtual:
        one.step()
