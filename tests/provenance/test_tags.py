"""Each tag is written somewhere; a log may hold a tag that this release does not know."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from apps.provenance.tags import AnyTag, Tag
from federated.provenance.events import Event, EventActor, EventSubject

ROOT = Path(__file__).resolve().parents[2]
RETIRED = (
    "accounts:user:signed_in",
    "budgets:charge:reserved",
    "budgets:charge:committed",
    "budgets:charge:released",
    "federation:model:stored",
)


def test_every_tag_has_a_writer() -> None:
    used = {
        node.attr
        for path in [*(ROOT / "apps").rglob("*.py"), *(ROOT / "portal").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Tag"
    }
    assert {tag.name for tag in Tag} == used


def test_a_retired_tag_is_not_used_again_and_still_parses() -> None:
    assert not set(RETIRED) & {tag.value for tag in Tag}
    for tag in RETIRED:
        event = Event.build(
            id=UUID(int=1),
            at=datetime(2026, 1, 1, tzinfo=UTC),
            tag=tag,
            origin="consortium",
            actor=EventActor(kind="system", id="coordinator", name="coordinator"),
            subject=EventSubject(kind="job", id="1"),
        )
        assert Event.parse(event.canonical()) == event


def test_a_tag_of_another_set_is_refused() -> None:
    class OwnTag(AnyTag):
        OPENED = "raffles:raffle:opened"

    assert OwnTag.OPENED == "raffles:raffle:opened"
    with pytest.raises(ValueError, match="TakenTag: federation:round:opened is a tag of Tag"):

        class TakenTag(AnyTag):
            OPENED = "federation:round:opened"
