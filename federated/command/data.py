"""``federated data``: how a site's own table fits a job, before anybody approves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from federated.command.console import HOME, answered, coordinator, out
from federated.errors import InvalidInput

if TYPE_CHECKING:
    from federated.api.coordinator import CoordinatorAPI
    from federated.site.folder import SiteHome
    from federated.wire.job import DataDictionary


@click.group()
def data() -> None:
    """Look at this site's own data; nothing of it is sent."""


@data.command()
@HOME
@click.argument("job_id", required=False)
@click.option("--dictionary", help="Instead of a job: a JSON file, or a registered name.")
@click.option(
    "--table",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Another table than the policy's for the data set.",
)
@click.option("--json", "as_json", is_flag=True)
@answered
def check(
    *, home: Path, job_id: str | None, dictionary: str | None, path: Path | None, as_json: bool
) -> None:
    """Show which cells JOB_ID would take as missing, unlisted or clamped, by column.

    Counts over the rows that the job would use, and whether all targets are one class.
    """
    from federated.command.show import fit_table
    from federated.site.folder import SiteHome
    from federated.site.local_data import LocalData
    from federated.training.data import load_table
    from federated.training.fit import table_fit
    from federated.wire.job import JobSpec

    if (job_id is None) == (dictionary is None):
        raise InvalidInput("give a job's id or --dictionary, one of them")
    site = SiteHome(home)
    with coordinator(site) as api:
        if job_id is not None:
            spec = JobSpec.parse(api.job(job_id)["spec"]["body"])
            if path is None:
                found = LocalData(site).fit(spec)
            else:
                found = table_fit(load_table(path), spec.data)
        else:
            assert dictionary is not None
            wanted = _dictionary(api, dictionary)
            found = table_fit(load_table(path or _path(site, wanted.dataset)), wanted)
    if as_json:
        click.echo(json.dumps(found.dump(), indent=2))
        return
    out.print(fit_table(found))


def _dictionary(api: CoordinatorAPI, named: str) -> DataDictionary:
    from federated.wire.job import DataDictionary

    file = Path(named)
    if not named.endswith(".json"):
        return api.dictionary(named)
    try:
        return DataDictionary.parse(file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror})") from error


def _path(site: SiteHome, dataset: str) -> Path:
    entry = site.policy().datasets.get(dataset)
    if entry is None:
        raise InvalidInput(
            f"dataset {dataset}: no path under datasets in {site.policy_path}; give --table"
        )
    return entry.path
