"""The card's file: nothing loads, one style that its policy names, hostile text stays text."""

from __future__ import annotations

import base64
import hashlib
import re
import tomllib
import unicodedata
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federated.card.card import card_make
from federated.card.page import POLICY, card_page, shown
from federated.card.source import source_of, sources_of
from tests.federated.provenance.small_bundle import evaluation_record, small_record

ROOT = Path(__file__).parents[3]
HOSTILE = "\"'></title></style><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x00"


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.policy = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = str(dict(attrs)["content"])


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return card_make(source_of(small_record()), evaluations=sources_of([evaluation_record()]))


def test_nothing_is_loaded(card: dict[str, Any]) -> None:
    page = card_page(card)
    found = Elements(page)
    assert not {"src", "href", "srcset", "action", "style"} & found.attributes
    assert not {"script", "link", "iframe", "object", "form", "img"} & set(found.tags)
    assert "url(" not in page and "@import" not in page


def test_the_policy_allows_the_one_style_and_nothing_else(card: dict[str, Any]) -> None:
    page = card_page(card)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert Elements(page).policy == POLICY
    assert POLICY.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_style_has_a_value_for_every_name_that_it_uses() -> None:
    css = ROOT / "federated/card/css"
    tokens = set(re.findall(r"(--[\w-]+):", (css / "tokens.css").read_text()))
    sheets = [css / "card.css", *(ROOT / "static/css").glob("*.css")]
    used = {name for sheet in sheets for name in re.findall(r"var\((--[\w-]+)", sheet.read_text())}
    assert used <= tokens
    assert tokens - used == set()
    # A value of its own would drift from the pages'.
    assert all("#" not in re.sub(r"/\*.*?\*/", "", s.read_text()) for s in sheets[:1])


@pytest.mark.parametrize("place", ["dataset", "member", "warning", "column", "class", "metric"])
def test_a_hostile_text_adds_no_element_and_no_attribute(card: dict[str, Any], place: str) -> None:
    plain = Elements(card_page(card))
    evaluation = card["evaluations"][0]
    changed = {
        "dataset": {"task": card["task"] | {"dataset": HOSTILE}},
        "member": {"evaluations": [evaluation | {"members": [HOSTILE, *evaluation["members"]]}]},
        "warning": {"privacy": card["privacy"] | {"does_not_protect": [HOSTILE] * 4}},
        "column": {
            "data": card["data"]
            | {"features": [one | {"name": HOSTILE} for one in card["data"]["features"]]}
        },
        "class": {"evaluations": [evaluation | {"classes": renamed(evaluation["classes"])}]},
        "metric": {"evaluations": [evaluation | {"metrics": renamed(evaluation["metrics"])}]},
    }[place]
    page = card_page(card | changed)
    found = Elements(page)
    assert [tag for tag in found.tags if tag != "li"] == [t for t in plain.tags if t != "li"]
    assert found.attributes == plain.attributes
    assert "alert(1)" in page and "\u202e" not in page and "\x00" not in page


def renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {f"{name}{HOSTILE}": value for name, value in values.items()}


@given(st.text())
def test_shown_keeps_all_but_controls_and_reordering_marks(text: str) -> None:
    found = shown(text)
    assert len(found) == len(text)
    for before, after in zip(text, found, strict=True):
        hides = unicodedata.category(before) in ("Cc", "Cf", "Cs") and before not in "\n\t"
        assert after == ("\ufffd" if hides else before)


def test_long_lists_are_cut_and_say_so(card: dict[str, Any]) -> None:
    rounds = [card["rounds"][0] | {"round": number} for number in range(1, 61)]
    features = [card["data"]["features"][0] | {"name": f"c{number}"} for number in range(201)]
    page = card_page(card | {"rounds": rounds, "data": card["data"] | {"features": features}})
    assert "the last 50 of 60, all are in the JSON" in page
    assert ">60.1<" in page and ">10.1<" not in page
    assert "the first 200 of 201, all are in the JSON" in page
    assert "c199<" in page and "c200<" not in page


def test_the_package_carries_its_files() -> None:
    """What is not Python is installed only where pyproject.toml names it."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = pyproject["tool"]["setuptools"]["package-data"]
    patterns = [
        f"{package.replace('.', '/')}/{pattern}"
        for package, listed in named.items()
        for pattern in listed
    ]
    others = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "federated").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert {"federated/card/css/tokens.css", "federated/card/templates/card.html"} <= set(others)
    assert [one for one in others if not any(fnmatch(one, p) for p in patterns)] == []
