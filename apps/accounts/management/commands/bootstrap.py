"""``manage.py bootstrap``: prepares a portal for its first request. Idempotent."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from apps.accounts.models import User
from apps.accounts.passwords import password_keep, password_new, password_path
from apps.accounts.services import user_ensure
from apps.common.actor import Actor
from apps.organizations import ca
from apps.organizations.services import crl_publish
from apps.provenance.models import Event
from apps.provenance.services import consortium_event_record
from apps.provenance.tags import Tag
from apps.schedules.services import schedules_seed

OPERATOR = "operator@localhost.localdomain"


class Command(BaseCommand):
    help = "Make the authority, the server's certificate, schedules and the operator's account."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--operator", default=OPERATOR, help="the operator's e-mail address")

    def handle(self, *args: Any, operator: str, **options: Any) -> None:
        actor = Actor.system("bootstrap")
        ca.ensure()
        crl_publish()
        with transaction.atomic():
            if not Event.objects.filter(tag=Tag.CONSORTIUM_STARTED).exists():
                consortium_event_record(
                    tag=Tag.CONSORTIUM_STARTED,
                    actor=actor,
                    subject=("consortium", settings.FSC_CONSORTIUM),
                    digests={"ca": ca.ca_fingerprint()},
                )
        schedules_seed(actor=actor)
        if not User.objects.filter(is_operator=True).exists():
            # The file first: an account whose password is lost would lock the operator out.
            password = password_new()
            password_keep(operator, password)
            user_ensure(email=operator, password=password, actor=actor, operator=True)
        self.stdout.write(f"Operator: {operator}, password in {password_path(operator)}")
