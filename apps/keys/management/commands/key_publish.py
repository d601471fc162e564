"""``manage.py key_publish DIR``: register what a key ceremony wrote."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.common.actor import Actor
from apps.keys.services import key_epoch_publish
from federated.errors import DomainError
from federated.wire.key import KeyEpoch, SealedShare


class Command(BaseCommand):
    help = "Register a dealt key: key.json and shares/*.json of the ceremony's folder."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        try:
            epoch = KeyEpoch.parse((folder / "key.json").read_bytes())
            shares = [
                SealedShare.parse(path.read_bytes())
                for path in sorted((folder / "shares").glob("*.json"))
            ]
            row = key_epoch_publish(epoch=epoch, shares=shares, actor=Actor.system("key_publish"))
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"key epoch {row.number} {row.digest} is {row.state}")
