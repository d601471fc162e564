"""The pages stay complete: tables, settings, commands, widths."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from django.apps import apps
from django.core.management import get_commands

from portal.config import Config
from tests.docs.reference import commands

ROOT = Path(__file__).parents[2]
COLUMNS = 100
#: Pages whose paragraphs have not been rewrapped yet.
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/[!a]*/*.md")]
PAGES += ROOT.glob("docs/audit/*.md")
FENCED = re.compile(r"^ *```\n(.*?)^ *```$", re.M | re.S)
SPANS = re.compile(r"`((?:federated|python manage\.py|make) [^`]+)`")


def names(page: Path) -> str:
    return str(page.relative_to(ROOT))


def shell_lines(page: Path) -> list[str]:
    """The commands of a page, in its code blocks and in its sentences."""
    text = page.read_text()
    lines = [line for block in FENCED.findall(text) for line in block.splitlines()]
    return [line.strip() for line in [*lines, *SPANS.findall(text)]]


def test_every_table_is_in_the_data_model() -> None:
    text = (ROOT / "docs/develop/data-model.md").read_text()
    ours = [m for m in apps.get_models() if m.__module__.startswith("apps.")]
    assert len(ours) > 30
    assert [m.__name__ for m in ours if f"**{m.__name__}**" not in text] == []


def test_every_state_is_in_the_data_model() -> None:
    text = (ROOT / "docs/develop/data-model.md").read_text()
    states = {
        value
        for model in apps.get_models()
        if model.__module__.startswith("apps.") and hasattr(model, "State")
        for value in (state.value for state in model.State)
    }
    assert "decrypting" in states
    assert {state for state in states if not re.search(rf"\b{state}\b", text)} == set()


def test_every_setting_is_described() -> None:
    text = (ROOT / "docs/operate/configuration.md").read_text()
    keys = [
        f"{section}.{key}"
        for section, field in Config.model_fields.items()
        if hasattr(field.annotation, "model_fields")
        for key in field.annotation.model_fields
    ]
    assert len(keys) > 20
    assert [key for key in keys if f"`{key}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_commands_on_the_page_exist(page: Path) -> None:
    from federated.command.main import main

    known = {" ".join(path): command for path, command in commands(main, ("federated",))}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for line in shell_lines(page):
        for call in re.findall(r"(?:^|\| ?|do )(?:python )?(federated|manage\.py|make) (.+)", line):
            program, rest = call
            words = shlex.split(rest.split(" #")[0].split("  ")[0].split(" > ")[0], posix=True)
            if program == "make":
                assert words[0] in targets, line
            elif program == "manage.py":
                assert words[0] in get_commands(), line
            elif words[0].islower():
                _check_options(known, words, line)


def _check_options(known: dict[str, click.Command], words: list[str], line: str) -> None:
    path = "federated"
    while words and f"{path} {words[0]}" in known:
        path = f"{path} {words.pop(0)}"
    assert path != "federated" or words == ["--help"], f"no such command: {line}"
    if path == "federated":
        return
    options = {name for option in known[path].params for name in option.opts} | {"--help"}
    given = [word for word in words[: words.index("--") if "--" in words else None]]
    assert {w.split("=")[0] for w in given if re.match(r"--?[a-z]", w)} <= options, line


@pytest.mark.parametrize("page", PAGES, ids=names)
def test_paragraphs_are_at_most_100_columns(page: Path) -> None:
    text = page.read_text()
    wide = [line for line in text.splitlines() if len(line) > COLUMNS and "|" not in line]
    assert wide == []
