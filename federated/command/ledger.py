"""``federated ledger``: show the site's ledger, and change what its accounts are allotted."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from federated.command.console import HOME, answered, coordinator, out
from federated.errors import InvalidInput

if TYPE_CHECKING:
    from federated.site.folder import SiteHome
    from federated.wire.site import AllotmentChange

REASON = click.option("--reason", required=True, help="Why; kept in the ledger and the log.")


def login_name() -> str:
    """Returns the login name of the person who runs this."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        return "somebody"


def by_hand() -> str:
    return f"{login_name()} at the site"


@click.group(invoke_without_command=True)
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="The site's folder.")
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
@answered
def ledger(context: click.Context, home: Path | None, as_json: bool) -> None:
    """Show the site's privacy ledger, or change what an account is allotted."""
    if context.invoked_subcommand is not None:
        return
    if home is None:
        raise click.UsageError("Missing option '--home'.", context)
    from federated.command.show import ledger_tables
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    report = site.ledger.report(site.credentials.organization)
    if as_json:
        click.echo(json.dumps(report.dump(), indent=2))
        return
    for table in ledger_tables(site.ledger, report):
        out.print(table)


@ledger.command()
@click.argument("dataset")
@HOME
@click.option(
    "--unit", type=click.Choice(["record", "organization"]), default="record", show_default=True
)
@click.option("--epsilon", type=float)
@click.option("--delta", type=float)
@click.option("--period", type=click.Choice(["month", "quarter", "year", "lifetime"]))
@click.option("--max-queries", type=int, help="Jobs of one proposer in a period.")
@REASON
@answered
def allot(*, dataset: str, home: Path, unit: str, reason: str, **changes: Any) -> None:
    """Change what DATASET is allotted; what is not given stays as it is.

    It holds from the next charge on, over the policy file, until the next change. The running
    agent reports it to the portal.
    """
    from federated.site.folder import SiteHome
    from federated.wire.site import Allotment

    site = SiteHome(home)
    now = site.ledger.allotment(dataset, unit)
    if now is None:
        if dataset not in site.policy().datasets:
            raise InvalidInput(f"{dataset}: no account and no data set of that name is here")
        now = Allotment(**site.policy().allotment_of(dataset).model_dump())
    changes["max_queries_per_tenant"] = changes.pop("max_queries")
    given = {name: value for name, value in changes.items() if value is not None}
    if not given:
        raise InvalidInput("give what changes: --epsilon, --delta, --period or --max-queries")
    after = Allotment.parse(now.dump() | given)
    made = site.ledger.allot(dataset, unit, after, reason=reason, by=by_hand())
    _show(site, made)


@ledger.command()
@click.argument("job_id")
@HOME
@answered
def cost(job_id: str, home: Path) -> None:
    """Show what JOB_ID would cost by this site's own ledger, before anyone approves it."""
    from federated.protocol.cost import (
        check_spec_privacy,
        job_epsilons,
        mechanism_of,
        privacy_warnings,
    )
    from federated.site.folder import SiteHome
    from federated.site.work.approve import cost_line
    from federated.wire.job import JobSpec

    site = SiteHome(home)
    with coordinator(site) as api:
        told = api.job(job_id)
    spec = JobSpec.parse(told["spec"]["body"])
    if spec.job_id != job_id:
        raise InvalidInput(f"job {spec.job_id} came for {job_id}")
    check_spec_privacy(spec)
    both = job_epsilons(spec)
    if spec.purpose:
        out.print("purpose: ", end="")
        out.print(spec.purpose, markup=False)
    out.print(f"job {job_id} of {spec.proposer}, {told['state']}: {cost_line(site, spec)}")
    out.print(
        f"at its own delta {spec.privacy.delta:g}: epsilon {both['coordinator']:.3f} against the "
        f"coordinator with {spec.privacy.colluding} sites, {both['insiders']:.3f} against all "
        "other insiders"
    )
    out.print(mechanism_of(spec))
    for warning in privacy_warnings(spec):
        out.print(f"[bold]warning:[/] {warning}")
    if spec.privacy.high_epsilon_reason:
        out.print("above epsilon 10, because: ", end="")
        out.print(spec.privacy.high_epsilon_reason, markup=False)


@ledger.command()
@HOME
@answered
def requests(home: Path) -> None:
    """List what was asked in the portal and waits for a person here."""
    from federated.site.allotments import describe
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    waiting = site.ledger.requests_waiting()
    for one in waiting:
        before = site.ledger.allotment(one.dataset, one.unit)
        out.print(f"[bold]{one.id}[/] {escape(one.dataset)}, asked {one.at[:19]} by ", end="")
        out.print(f"{one.requested_by} (says the portal): {one.reason}", markup=False)
        out.print(f"  now    {'nothing' if before is None else describe(before)}")
        out.print(f"  asked  {describe(one.allotment)}")
    if not waiting:
        out.print("nothing waits")


@ledger.command()
@click.argument("request_id")
@HOME
@REASON
@answered
def confirm(request_id: str, home: Path, reason: str) -> None:
    """Let REQUEST_ID of the portal hold; see: federated ledger requests."""
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    _show(site, site.ledger.request_confirm(request_id, reason=reason, by=by_hand()))


@ledger.command()
@click.argument("request_id")
@HOME
@REASON
@answered
def decline(request_id: str, home: Path, reason: str) -> None:
    """Say no to REQUEST_ID of the portal."""
    from federated.site.folder import SiteHome

    SiteHome(home).ledger.request_decline(request_id, reason=reason, by=by_hand())
    out.print(f"request {request_id} declined")


def _show(site: SiteHome, made: AllotmentChange) -> None:
    from federated.site.allotments import describe

    report = site.ledger.report(site.credentials.organization)
    account = next(a for a in report.accounts if (a.dataset, a.unit) == (made.dataset, made.unit))
    before = "nothing" if made.before is None else describe(made.before)
    out.print(f"{escape(made.dataset)} per {made.unit}")
    out.print(f"  before  {before}")
    out.print(f"  now     {describe(made.after)}")
    out.print(f"  spent   epsilon {account.spent_epsilon:.3f} this {account.period}")
