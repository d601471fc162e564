"""What the commands share: the console, the home option, errors as answers."""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from federated.errors import DomainError

F = TypeVar("F", bound=Callable[..., Any])
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str, keep: str = "") -> str:
    """Text of others as one line: what moves a cursor, changes direction or hides is escaped.

    A bundle could else clear the screen and write its own verdict there. ``keep`` stays.
    """
    if text.isprintable():
        return text
    return "".join(
        each.encode("unicode_escape").decode()
        if unicodedata.category(each) in _HIDDEN and each not in keep
        else each
        for each in text
    )


class _Terminal(Console):
    """Colours are markup; no text brings control characters of its own."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text, keep="\n\t"), **options)


out = _Terminal(highlight=False, soft_wrap=True, emoji=False)
HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The site's folder.",
)


def answered(command: F) -> F:
    """A DomainError is an answer: one line on standard error, exit code 1."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except DomainError as error:
            message = visible(" ".join(error.message.split()))
            click.echo(f"federated: {message} [{error.code}]", err=True)
            sys.exit(1)

    return run  # type: ignore[return-value]
