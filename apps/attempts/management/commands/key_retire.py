"""``manage.py key_retire NUMBER --reason TEXT``: end a key epoch before its time."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.attempts.services.keys import key_retire
from apps.common.actor import Actor
from federated.errors import DomainError


class Command(BaseCommand):
    help = "Retire a key epoch: it takes no new job, and every site destroys its share."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", type=int)
        parser.add_argument("--reason", required=True, help="kept in the log, shown to the sites")
        parser.add_argument(
            "--end-jobs", action="store_true", help="also fail the jobs that still use it"
        )

    def handle(self, *args: Any, number: int, reason: str, end_jobs: bool, **options: Any) -> None:
        try:
            epoch = key_retire(
                number=number,
                reason=reason,
                end_jobs=end_jobs,
                actor=Actor.system("key_retire"),
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(
            f"key epoch {epoch.number} is {epoch.state}; its sites are asked to destroy their "
            "shares"
        )
