"""Prints one line per step with its time, and records which steps held."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape


class StepFailed(Exception):
    """A step of the story did not hold."""


class Step:
    """Shows and records a running step."""

    def __init__(self, show: Any) -> None:
        self._show = show
        self.detail = ""

    def progress(self, text: str) -> None:
        """Show how far the step has come."""
        self._show(text)


class Story:
    """Prints the steps and keeps their outcome for the report."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.steps: list[dict[str, Any]] = []
        self.began = time.monotonic()

    def act(self, title: str) -> None:
        """A heading between steps."""
        self.console.print(f"\n[bold]{escape(title)}[/]")

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Run a step; whatever it raises is recorded before it goes on up."""
        began = time.monotonic()
        held, detail = False, ""
        with self.console.status(f"{escape(name)} ...") as status:
            step = Step(lambda text: status.update(f"{escape(name)}: {escape(text)}"))
            try:
                yield step
                held, detail = True, step.detail
            except Exception as error:
                detail = " ".join(str(error).split()) or type(error).__name__
                raise
            finally:
                self._finish(name, held, detail, time.monotonic() - began)

    def say(self, markup: str) -> None:
        """A line that belongs to the step before."""
        self.console.print(markup)

    def _finish(self, name: str, held: bool, detail: str, seconds: float) -> None:
        mark = "[green]ok[/]" if held else "[bold red]NO[/]"
        self.console.print(f"{mark} {escape(name):<42} {escape(detail)}  [dim]{seconds:.1f} s[/]")
        self.steps.append(
            {"step": name, "held": held, "detail": detail, "seconds": round(seconds, 2)}
        )
