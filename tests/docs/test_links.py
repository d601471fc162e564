"""Every relative link in the documentation leads to a file, and to a heading of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")
NAMED = re.compile(r"\bdocs/[a-z/-]+(?:\.md|/)")
CODE = re.compile(r"^```.*?^```$", re.M | re.S)
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, spelled as GitHub spells them."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for match in LINK.finditer(CODE.sub("", page.read_text())):
        target = (page.parent / match["path"]).resolve() if match["path"] else page
        assert target.exists(), match[0]
        if match["anchor"] and target.suffix == ".md":
            assert match["anchor"] in anchors(target), match[0]


def test_the_code_names_pages_that_exist() -> None:
    sources = [
        file
        for folder in ("apps", "federated", "portal", "tests", "docs")
        for file in [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md")]
        if file != Path(__file__)
    ]
    assert len(sources) > 300
    for source in sources:
        for name in NAMED.findall(source.read_text()):
            assert (ROOT / name).exists(), f"{source.relative_to(ROOT)} names {name}"
