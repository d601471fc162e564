"""``manage.py join_token SLUG``: print a one-time token for the organization's site."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.common.actor import Actor
from apps.organizations.selectors import organization_get
from apps.organizations.services import SITE_NAME, TOKEN_LIFE, join_token_issue
from federated.errors import DomainError


class Command(BaseCommand):
    help = "Print a token that admits one site of the organization, once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--site", default=SITE_NAME, help="the site's name")
        parser.add_argument("--hours", type=int, default=int(TOKEN_LIFE.total_seconds() // 3600))

    def handle(self, *args: Any, slug: str, site: str, hours: int, **options: Any) -> None:
        try:
            token = join_token_issue(
                organization=organization_get(slug=slug),
                actor=Actor.system("join_token"),
                site_name=site,
                life=timedelta(hours=hours),
            )
        except DomainError as error:
            raise CommandError(f"{slug}: {error.message}") from error
        self.stdout.write(token)
