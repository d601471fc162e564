"""Shared by the commands: the console, the home option, errors as one-line answers."""

from __future__ import annotations

import functools
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console
from rich.text import Text

from federated.errors import DomainError

if TYPE_CHECKING:
    from federated.api.coordinator import CoordinatorAPI
    from federated.site.folder import SiteHome

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
    """A console whose colours are markup; control characters in texts are escaped."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(visible(text, keep="\n\t"), **options)


out = _Terminal(highlight=False, soft_wrap=True, emoji=False)
HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The site's folder.",
)


@contextmanager
def coordinator(site: SiteHome) -> Iterator[CoordinatorAPI]:
    """The coordinator of a site, asked for some seconds and no longer."""
    from federated.api.coordinator import CoordinatorAPI

    api = CoordinatorAPI.for_site(site.about().url, site.credentials, retry_seconds=5.0)
    with closing(api):
        yield api


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and none to list them.

    ``lazy`` holds, by a command's name, ``module:attribute`` and its line in the group's help.
    """

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*args, **options)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        room = formatter.width - 6 - max(map(len, self.lazy))
        rows = [
            (name, click.Command(name, help=self.lazy[name][1]).get_short_help_str(room))
            for name in self.list_commands(ctx)
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


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
