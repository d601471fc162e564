"""``manage.py member_add SLUG EMAIL ROLE``: give a person a role in an organization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.models import User
from apps.accounts.passwords import password_keep, password_new
from apps.accounts.services import member_add
from apps.common.actor import Actor
from apps.common.roles import Role
from apps.organizations.selectors import organization_get
from federated.errors import DomainError


class Command(BaseCommand):
    help = "Add a member. A new person's password comes from a file, or is made and put into one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("email")
        parser.add_argument("role", choices=Role.values)
        parser.add_argument("--password-file", type=Path, help="holds the person's first password")

    def handle(
        self,
        *args: Any,
        slug: str,
        email: str,
        role: str,
        password_file: Path | None,
        **options: Any,
    ) -> None:
        is_new = not User.objects.filter(email__iexact=email.strip()).exists()
        password, where = None, password_file
        try:
            organization = organization_get(slug=slug)
            if is_new and password_file is not None:
                password = password_file.read_text().strip()
            elif is_new:
                password = password_new()
                where = password_keep(email.strip().lower(), password)
            member_add(
                organization=organization,
                email=email,
                role=role,
                password=password,
                actor=Actor.system("member_add"),
            )
        except DomainError as error:
            raise CommandError(f"{slug}: {error.message}") from error
        except OSError as error:
            raise CommandError(f"{password_file}: {error.strerror}") from error
        known = f"password in {where}" if is_new else "keeps the password of before"
        self.stdout.write(f"{email} is {role} of {slug}; {known}")
