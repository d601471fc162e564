"""The shell of kept HTML documents: nothing loads, nothing that others wrote is markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from federated.card.document import (
    POLICY,
    STYLE_SOURCE,
    document,
    element,
    facts,
    foreign,
    section,
    table,
)

HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202e\x00"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def whole() -> str:
    return document(
        HOSTILE,
        kind="A card",
        lede=element("p", HOSTILE),
        body=[
            section(HOSTILE, facts([(HOSTILE, HOSTILE), ("gone", None)])),
            table(["a", HOSTILE], [[HOSTILE, foreign(HOSTILE)]], caption=HOSTILE, numbers=1),
        ],
        footer=element("p", HOSTILE, title=HOSTILE),
    )


def test_no_text_becomes_markup() -> None:
    page = whole()
    tags = Tags()
    tags.feed(page)
    assert not {"script", "img"} & tags.seen
    assert "onerror" not in tags.attributes
    assert "gone" not in page
    assert "\u202e" not in page and "\x00" not in page


def test_nothing_is_loaded() -> None:
    page = whole()
    tags = Tags()
    tags.feed(page)
    assert not {"src", "href", "srcset", "action"} & tags.attributes
    assert not {"link", "iframe", "object", "form"} & tags.seen
    assert POLICY.startswith("default-src 'none'") and STYLE_SOURCE in POLICY
    assert "url(" not in page and "@import" not in page


@pytest.mark.parametrize("name", ["on click", "x><b", "ONLOAD", ""])
def test_names_are_never_data(name: str) -> None:
    with pytest.raises(ValueError, match="not an"):
        element(name)
    with pytest.raises(ValueError, match="not an"):
        element("p", **{name: "x"})
