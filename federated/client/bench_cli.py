"""``federated bench``: measure a workload at the site."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from federated.client.commands import answered, out
from federated.client.measuring import Measurement, Method, measure_command, meter_for


@click.group()
def bench() -> None:
    """Measure a workload and compare it across organizations, privately."""


@bench.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--repeats", type=click.IntRange(1), default=20, show_default=True)
@click.option("--warmup", type=click.IntRange(0), default=2, show_default=True)
@click.option("--items", type=click.IntRange(1), default=1, help="Operations in one run.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), help="Seconds for one run.")
@click.option(
    "--energy",
    type=click.Choice([method.value for method in Method]),
    help="Method; by default a counter of this machine, if it has one.",
)
@click.option("--watts-per-core", type=float, help="For an estimate: a busy core's watts.")
@click.option("--json", "as_json", is_flag=True)
@answered
def run(
    *,
    command: tuple[str, ...],
    repeats: int,
    warmup: int,
    items: int,
    timeout: float | None,
    energy: str | None,
    watts_per_core: float | None,
    as_json: bool,
) -> None:
    """Measure COMMAND: ``federated bench run -- python score.py``."""
    meter = meter_for(Method(energy) if energy else None, watts_per_core=watts_per_core)
    with _progress() as progress:
        found = measure_command(
            command,
            repeats=repeats,
            warmup=warmup,
            items=items,
            timeout=timeout,
            energy=meter,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(found.dump(), indent=2))
    else:
        show(found)


def show(found: Measurement) -> None:
    from federated.client.show_bench import measurement_table

    out.print(measurement_table(found))
    for note in found.notes:
        out.print(f"[yellow]note[/] {escape(note)}")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, where somebody looks."""
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task("measuring", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
