from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django_tenants.utils import schema_context

from apps.common.actor import Actor
from apps.provenance.services import checkpoint_make, event_record, log_sequence
from apps.provenance.tags import Tag

ACTOR = Actor("user", "u1", "ada@northwind.example", "northwind")


@pytest.fixture(params=["public", "t_northwind"])
def log(request, db) -> Iterator[str]:
    """Each kind of log in turn; its schema."""
    with schema_context(request.param):
        yield request.param


@contextmanager
def inside(slug: str) -> Iterator[None]:
    with schema_context(f"t_{slug}"):
        yield


@pytest.fixture
def record(db) -> Callable:
    def make(count: int = 1, **fields) -> list:
        given = {"tag": Tag.ROUND_CLOSED, "actor": ACTOR, "data": {"round": 1}} | fields
        return [event_record(**({"subject": ("round", n)} | given)) for n in range(count)]

    return make


def log_everything() -> None:
    while log_sequence():
        pass
    checkpoint_make()
