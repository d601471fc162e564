"""``manage.py organization_create SLUG --name NAME``: admit an organization."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.common.actor import Actor
from apps.organizations.services import organization_create
from federated.errors import DomainError


class Command(BaseCommand):
    help = "Admit an organization: its schema, database role and tables."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--name", help="the name people read; default: the slug")

    def handle(self, *args: Any, slug: str, name: str | None, **options: Any) -> None:
        actor = Actor.system("organization_create")
        try:
            organization = organization_create(slug=slug, name=name or slug, actor=actor)
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{organization.slug} is a member (schema {organization.schema_name})")
