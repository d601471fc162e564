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
@click.option("--no-blockchain", is_flag=True, help="Anchor nothing.")
@click.option("--stop-with-parent", is_flag=True, help="Stop when the starting process ends.")
def main(
    file: str | None,
    state: str | None,
    bind: str | None,
    no_blockchain: bool,
    stop_with_parent: bool,
) -> None:
    """Start PostgreSQL, Valkey, the chain, the web server and the workers; Ctrl-C stops them."""
    report = Report()
    sections: dict[str, dict[str, Any]] = {}
    if bind:
        sections["coordinator"] = {"bind_address": bind}
    if no_blockchain:
        sections["blockchain"] = {"enabled": False}
    try:
        config = Config.load(file, state, **sections)
        Supervisor(config, report, stop_with_parent=stop_with_parent).run()
    except DomainError as error:
        report.say(f"[bold red]Cannot start:[/] {escape(error.message)}")
        sys.exit(1)


if __name__ == "__main__":
    main()
