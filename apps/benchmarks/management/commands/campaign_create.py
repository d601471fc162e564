"""``manage.py campaign_create DRAFT``: a campaign by an operator on the portal's machine."""

from __future__ import annotations

import sys
from argparse import FileType
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.benchmarks.drafts import CampaignDraft
from apps.benchmarks.services.campaigns import OPERATOR, campaign_create
from apps.common.actor import Actor
from federated.errors import DomainError


class Command(BaseCommand):
    help = "Create a benchmark campaign from a draft in JSON; prints its id."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "draft", type=FileType("rb"), help="file; - reads standard input", default=sys.stdin
        )

    def handle(self, *args: Any, draft: Any, **options: Any) -> None:
        try:
            made = campaign_create(
                draft=CampaignDraft.parse(draft.read()),
                creator=OPERATOR,
                actor=Actor.system("campaign_create"),
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(str(made.pk))
