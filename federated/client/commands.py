"""What the commands share: the console, the home option, errors as answers."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from federated.errors import DomainError

F = TypeVar("F", bound=Callable[..., Any])
out = Console(highlight=False, soft_wrap=True)
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
            click.echo(f"federated: {' '.join(error.message.split())} [{error.code}]", err=True)
            sys.exit(1)

    return run  # type: ignore[return-value]
