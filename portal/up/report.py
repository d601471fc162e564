"""Prints one line per step, with its time, while services start and stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape


class Report:
    def __init__(self, console: Console | None = None) -> None:
        # Lines name paths; a wrapped path cannot be copied.
        self.console = console or Console(soft_wrap=True, highlight=False)

    @contextmanager
    def step(self, name: str, detail: Callable[[], str]) -> Iterator[None]:
        began = time.monotonic()
        with self.console.status(f"{escape(name)} ..."):
            yield
        self._line("[green]ok[/]", name, detail(), f"{time.monotonic() - began:.1f} s")

    def note(self, name: str, detail: str) -> None:
        self._line("[yellow]--[/]", name, detail, "")

    def _line(self, mark: str, name: str, detail: str, spent: str) -> None:
        self.console.print(f"{mark} {escape(name):<24}{escape(detail):<52}[dim]{spent:>8}[/]")

    def say(self, markup: str) -> None:
        self.console.print(markup)
