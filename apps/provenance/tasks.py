"""Thin tasks of the queue ``provenance``; beat sends them, each may be lost or repeated."""

import logging
from collections.abc import Callable

from celery import shared_task
from django_tenants.utils import schema_context

from apps.provenance import anchors, services

logger = logging.getLogger(__name__)


@shared_task(name="provenance.sequence")
def sequence() -> None:
    _in_every_log(services.log_sequence)


@shared_task(name="provenance.checkpoint")
def checkpoint() -> None:
    _in_every_log(services.checkpoint_make)


@shared_task(name="provenance.anchor")
def anchor() -> None:
    anchors.anchor_submit_pending()


def _in_every_log(service: Callable[[], object]) -> None:
    for schema in anchors.log_schemas():
        try:
            with schema_context(schema):
                service()
        except Exception:
            # One organization's broken log must not stop the others'.
            logger.exception("%s failed in %s", service.__name__, schema)
