"""A token an organization that changes whenever its site may have something new to do.

It is the inbox's ETag. Random tokens rather than counters: a cache that lost its memory never
repeats one. They expire, so that a bell lost in a crash delays a site by seconds, not for ever.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable

from django.core.cache import cache
from django.db import transaction

TOKEN_SECONDS = 5
log = logging.getLogger(__name__)


def _key(slug: str) -> str:
    return f"bell:{slug}"


def bell_token(slug: str) -> str:
    """The organization's token; read it before the rows that an answer is made of."""
    token = cache.get(_key(slug))
    if token is None:
        cache.add(_key(slug), secrets.token_hex(8), TOKEN_SECONDS)
        token = cache.get(_key(slug))
    return token or secrets.token_hex(8)


def bell_ring(slugs: Iterable[str]) -> None:
    """Change the tokens of these organizations once the transaction has committed."""
    rung = sorted(set(slugs))
    if rung:
        transaction.on_commit(lambda: _ring(rung), robust=True)


def _ring(slugs: list[str]) -> None:
    cache.set_many({_key(slug): secrets.token_hex(8) for slug in slugs}, TOKEN_SECONDS)
