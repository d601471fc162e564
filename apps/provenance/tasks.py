"""Thin tasks of the queue ``provenance``; beat sends them, each may be lost or repeated."""

import logging
from collections.abc import Callable
from functools import partial

from celery import shared_task
from django.core.cache import cache
from django_tenants.utils import schema_context
from redis.exceptions import RedisError

from apps.provenance import anchors, services

WHOLE_LOOK_SECONDS = 600
logger = logging.getLogger(__name__)


@shared_task(name="provenance.sequence")
def sequence() -> None:
    whole = _whole_look_is_due()
    _in_every_log(partial(services.log_sequence, everything=whole))


@shared_task(name="provenance.checkpoint")
def checkpoint() -> None:
    _in_every_log(services.checkpoint_make)


@shared_task(name="provenance.anchor")
def anchor() -> None:
    anchors.anchor_submit_pending()


def _whole_look_is_due() -> bool:
    try:
        return bool(cache.add("provenance:sequence:everything", 1, WHOLE_LOOK_SECONDS))
    except RedisError:
        return True


def _in_every_log(service: Callable[[], object]) -> None:
    for schema in anchors.log_schemas():
        try:
            with schema_context(schema):
                service()
        except Exception:
            # One organization's broken log must not stop the others'.
            logger.exception("%s failed in %s", service, schema)
