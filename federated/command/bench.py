"""``federated bench``: measure a workload at the site, submit, see where the site stands."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from federated.command.console import HOME, answered, out
from federated.errors import InvalidInput, NotFound
from federated.measuring import Measurement, Method, measure_command, meter_for

if TYPE_CHECKING:
    from federated.sdk.campaign import CampaignClient
    from federated.site.standing import Standing

HERE = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The site's folder; without it nothing is submitted.",
)
CAMPAIGN = click.option("--campaign", help="Its id, where several campaigns ask for this.")
YES = click.option("--yes", is_flag=True, help="Submit without asking.")
REPLACE = click.option("--replace", is_flag=True, help="Replace what was submitted to this run.")


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
@HERE
@CAMPAIGN
@YES
@REPLACE
@answered
def run(
    *,
    command: tuple[str, ...],
    home: Path | None,
    campaign: str | None,
    yes: bool,
    replace: bool,
    repeats: int,
    warmup: int,
    items: int,
    timeout: float | None,
    energy: str | None,
    watts_per_core: float | None,
    as_json: bool,
) -> None:
    """Measure COMMAND: ``federated bench run -- python score.py``.

    With --home it shows what would be submitted to a campaign, asks, and submits.
    """
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
    if home is not None:
        _submit(
            home,
            found.values(),
            campaign=campaign,
            yes=yes,
            replace=replace,
            workload=found.workload,
            quiet=as_json,
        )


@bench.command()
@click.argument("values", nargs=-1, required=True)
@HOME
@CAMPAIGN
@YES
@REPLACE
@answered
def submit(
    *, values: tuple[str, ...], home: Path, campaign: str | None, yes: bool, replace: bool
) -> None:
    """Submit VALUES measured otherwise, like latency_ms=42.5, in the campaign's units."""
    parsed = {}
    for item in values:
        key, equals, text = item.partition("=")
        try:
            parsed[key] = float(text)
        except ValueError:
            equals = ""
        if not equals or not math.isfinite(parsed[key]):
            raise InvalidInput(f"{item!r}: give METRIC=NUMBER, a finite one")
    _submit(home, parsed, campaign=campaign, yes=yes, replace=replace)


@bench.command()
@HOME
@click.option("--json", "as_json", is_flag=True)
@answered
def campaigns(home: Path, as_json: bool) -> None:
    """List the campaigns that this organization may take part in."""
    with _client(home) as client:
        listed = client.api.campaigns()
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return
    from federated.command.show_bench import campaigns_table

    out.print(campaigns_table(listed))


@bench.command()
@HOME
@click.argument("campaign_id", required=False)
@click.option("--run", "number", type=click.IntRange(1), help="Instead of the newest run.")
@click.option("--json", "as_json", is_flag=True)
@answered
def standing(home: Path, campaign_id: str | None, number: int | None, as_json: bool) -> None:
    """Show where this site stands in a release; computed here, sent nowhere."""
    from federated.command.show_bench import standing_table
    from federated.site.folder import SiteHome
    from federated.site.standing import standings

    site = SiteHome(home)
    shown = 0
    for each in [campaign_id] if campaign_id else list(site.campaigns()):
        folder = site.campaign(each)
        try:
            rows = standings(folder, number)
        except NotFound:
            if campaign_id:
                raise
            continue
        shown += 1
        if as_json:
            click.echo(json.dumps([_plain(row) for row in rows], indent=2))
        else:
            titles = [spec.title for spec in folder.specs()]
            out.print(standing_table(rows, titles[-1] if titles else each))
    if not shown:
        raise NotFound(f"{site.path}: no verified release is kept here yet")


def _plain(row: Standing) -> dict[str, Any]:
    statistics = {name: estimate.dump() for name, estimate in row.statistics.items()}
    return {**asdict(row), "statistics": statistics}


@contextmanager
def _client(home: Path) -> Iterator[CampaignClient]:
    from federated.sdk.campaign import CampaignClient
    from federated.site.folder import SiteHome

    client = CampaignClient(SiteHome(home), say=lambda line: None)
    try:
        yield client
    finally:
        client.close()


def _submit(
    home: Path,
    values: dict[str, float],
    *,
    campaign: str | None,
    yes: bool,
    replace: bool,
    workload: str = "",
    quiet: bool = False,
) -> None:
    """Show what would be sent, ask, send."""
    from federated.command.show_bench import preview_table

    # Standard output may be a program's: then people read standard error.
    console = Console(stderr=True, highlight=False, soft_wrap=True) if quiet else out
    with _client(home) as client:
        spec, _ = client.choose(values, campaign)
        measured = client.measurements(spec, values, workload=workload, more=bool(workload))
        console.print(preview_table(client.preview(spec, measured), repr(spec.title)))
        console.print(
            f"The release costs epsilon {spec.noise.epsilon:g} of the account {spec.dataset}, "
            f"reserved by this site. Nobody but the cohort's noisy sum sees a value."
        )
        if not yes and not click.confirm("Submit?", err=quiet):
            console.print("nothing was sent")
            return
        done = client.deliver(spec, measured, replace=replace)
    if done.run is None:
        console.print("no run is open: the measurement waits here for the next one")
    else:
        console.print(f"submitted to run {done.run}, digest {(done.digest or '')[:16]}")


def show(measured: Measurement) -> None:
    from federated.command.show_bench import measurement_table

    out.print(measurement_table(measured))
    for note in measured.notes:
        out.print(f"[yellow]note[/] {escape(note)}")


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if it is a terminal."""
    with Progress(
        console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task("measuring", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
