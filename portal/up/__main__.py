"""`python -m portal.up`: start everything, serve until Ctrl-C."""

from __future__ import annotations

import sys
from typing import Any

import click
from rich.markup import escape

from federated.errors import DomainError
from portal.config import Config
from portal.up.report import Report
from portal.up.supervisor import Supervisor


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "file", help="The YAML file (else FSC_CONFIG, else the defaults).")
@click.option("--state", help="The state directory (else FSC_STATE, else ./var).")
@click.option("--bind", help="host:port of https (federated.coordinator.bind_address).")
@click.option("--port", type=click.IntRange(1, 65535), help="Only the port of that address.")
@click.option("--no-blockchain", is_flag=True, help="Anchor nothing.")
@click.option("--stop-with-parent", is_flag=True, help="Stop when the starting process ends.")
def main(**options: Any) -> None:
    """Start PostgreSQL, Valkey, the chain, the web server and the workers; Ctrl-C stops them."""
    report = Report()
    try:
        config = _load(**options)
        Supervisor(config, report, stop_with_parent=options["stop_with_parent"]).run()
    except DomainError as error:
        report.say(f"[bold red]Cannot start:[/] {escape(error.message)}")
        sys.exit(1)


def _load(
    *,
    file: str | None,
    state: str | None,
    bind: str | None,
    port: int | None,
    no_blockchain: bool,
    **_: Any,
) -> Config:
    sections: dict[str, dict[str, Any]] = {}
    if no_blockchain:
        sections["blockchain"] = {"enabled": False}
    if bind:
        sections["coordinator"] = {"bind_address": bind}
    config = Config.load(file, state, **sections)
    if port:
        host = config.coordinator.bind_address.rpartition(":")[0]
        sections["coordinator"] = {"bind_address": f"{host}:{port}"}
        config = Config.load(file, state, **sections)
    return config


if __name__ == "__main__":
    main()
