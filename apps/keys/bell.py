"""A token an organization that changes whenever its site may have something new to do.

It is the inbox's ETag. Random tokens rather than counters: a cache that lost its memory never
repeats one. They expire, so that a bell lost in a crash delays a site by seconds, not for ever;
and without a cache every look is a new one.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable

from django.core.cache import cache
from django.db import transaction
from redis.exceptions import RedisError

TOKEN_SECONDS = 5
log = logging.getLogger(__name__)


def _key(slug: str) -> str:
    return f"bell:{slug}"


def bell_token(slug: str) -> str:
    """The organization's token; read it before the rows that an answer is made of."""
    fresh = secrets.token_hex(8)
    try:
        return cache.get(_key(slug)) or cache.get_or_set(_key(slug), fresh, TOKEN_SECONDS) or fresh
    except RedisError:
        log.warning("the cache is away: inboxes are read from the database at every poll")
        return fresh


def bell_ring(slugs: Iterable[str]) -> None:
    """Change the tokens of these organizations once the transaction has committed."""
    rung = sorted(set(slugs))
    if rung:
        transaction.on_commit(lambda: _ring(rung), robust=True)


def _ring(slugs: list[str]) -> None:
    cache.set_many({_key(slug): secrets.token_hex(8) for slug in slugs}, TOKEN_SECONDS)
