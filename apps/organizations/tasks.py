"""Background work of admission."""

from __future__ import annotations

from celery import shared_task

from apps.organizations.services import crl_publish


@shared_task(name="organizations.crl_refresh")
def crl_refresh() -> None:
    """A revocation list that expires would shut out every site."""
    crl_publish()
