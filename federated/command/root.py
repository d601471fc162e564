"""Commands of a site and of an auditor: join, agent, curve, evaluate, bundle, replay, verify."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click
from rich.markup import escape

from federated.command.console import HOME, answered, coordinator, out, visible
from federated.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from federated.api.coordinator import CoordinatorAPI
    from federated.wire.round import Transcript

VECTORS = click.option(
    "--vectors",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of masked vectors and large initial states, for jobs that have them.",
)
ROUND_MARKS = {"ok": "[green]ok[/]", "failed": "[bold red]FAILED[/]", "skipped": "[yellow]--[/]"}


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A file that cannot be written is an answer too."""
    try:
        yield
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from error


@click.command()
@click.argument("url")
@click.option(
    "--token-file",
    type=click.File("r"),
    required=True,
    help="File with the one-time token; - reads standard input. Never an argument.",
)
@HOME
@answered
def join(url: str, token_file: IO[str], home: Path) -> None:
    """Join the consortium at URL and make the site's folder."""
    from federated.site.join import site_join

    site = site_join(url, token_file.read(), home)
    about = site.about()
    out.print(f"joined {escape(about.consortium)} as [bold]{about.organization}[/]")
    out.print(f"certificate {site.credentials.fingerprint}")
    out.print(f"next: edit {site.policy_path}, then run: federated agent --home {site.path}")


@click.command()
@HOME
@click.option("--url", help="The coordinator, if it is not where the site joined.")
@answered
def agent(home: Path, url: str | None) -> None:
    """Work for the site until SIGTERM or Ctrl-C."""
    from datetime import datetime

    from federated.site.agent import SiteAgent
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    name = site.credentials.organization

    def say(line: str) -> None:
        style = "bold red" if line.startswith("REFUSED") or " failed" in line else ""
        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        out.print(f"[dim]{clock}[/] [cyan]{name}[/] ", end="")
        out.print(line, style=style, markup=False)

    runner = SiteAgent(site, url, say=say)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: runner.stop())
    say(f"agent runs, coordinator {runner.api.url}")
    runner.run()
    say("agent stopped")


@click.command()
@HOME
@click.argument("job_id", required=False)
@answered
def curve(home: Path, job_id: str | None) -> None:
    """Show a job's score on this site's held-out rows; it is nowhere else."""
    from federated.command.show import curve_table
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    for each in [job_id] if job_id else list(site.jobs()):
        out.print(curve_table(each, site.job(each).curve()))


@click.command()
@HOME
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True)
@answered
def compare(home: Path, job_id: str, as_json: bool) -> None:
    """Compare JOB_ID's model with one trained on this site's rows alone; sends nothing."""
    from federated.api.coordinator import CoordinatorAPI
    from federated.command.show import comparison_table
    from federated.site.comparison import comparison_of
    from federated.site.folder import SiteHome
    from federated.site.site import Site

    folder = SiteHome(home)
    with closing(CoordinatorAPI.for_site(folder.about().url, folder.credentials)) as api:
        found = comparison_of(Site(folder, api), job_id)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    out.print(comparison_table(job_id, found))


@click.command()
@HOME
@click.argument("job_id")
@click.option("--bins", type=click.IntRange(2), default=8, show_default=True)
@click.option("--epsilon", type=float, help="Its own charge; the coordinator's default.")
@click.option("--delta", type=float, default=1e-5, show_default=True, help="With --epsilon.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait for the results.")
@answered
def evaluate(
    *, home: Path, job_id: str, bins: int, epsilon: float | None, delta: float, wait: bool
) -> None:
    """Propose a joint evaluation of the model that JOB_ID released."""
    from federated.command.show import evaluation_tables
    from federated.privacy.config import PrivacyConfig
    from federated.sdk.client import FederatedClient
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    with FederatedClient(
        site.credentials.organization, site.about().url, site.pem, progress=wait
    ) as client:
        privacy = None if epsilon is None else PrivacyConfig(epsilon=epsilon, delta=delta)
        evaluation = client.submit_evaluation(job_id, bins=bins, privacy=privacy)
        out.print(f"evaluation {evaluation} proposed")
        if wait:
            for table in evaluation_tables(client.receive_evaluation(evaluation)):
                out.print(table)


@click.command()
@HOME
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True)
@answered
def evaluations(home: Path, job_id: str, as_json: bool) -> None:
    """Show the joint evaluations that this site verified: JOB_ID's model's, or JOB_ID itself."""
    from federated.command.show import evaluation_tables
    from federated.site.folder import SiteHome
    from federated.site.joint_evaluation import evaluation_kept, evaluations_of

    site = SiteHome(home)
    own = evaluation_kept(site.job(job_id))
    found = [own] if own else evaluations_of(site, job_id)
    if as_json:
        click.echo(json.dumps([one.dump() for one in found], indent=2))
        return
    if not found:
        out.print(f"no joint evaluation of job {escape(job_id)} was verified here")
    for one in found:
        for table in evaluation_tables(one):
            out.print(table)


@click.command()
@HOME
@click.argument("job_id")
@click.option("-o", "--out", "path", type=click.Path(path_type=Path, dir_okay=False), required=True)
@VECTORS
@answered
def bundle(home: Path, job_id: str, path: Path, vectors: Path | None) -> None:
    """Download the bundle of JOB_ID, or of a campaign by its id: all to verify it by.

    The sums of a masked job need its sites' masked vectors too, and a large model its initial
    state: --vectors fetches them.
    """
    from federated.files import write_durably
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    with coordinator(site) as api:
        try:
            content = api.bundle(job_id)
        except NotFound:
            content = api.campaign_bundle(job_id)
        with writing(path):
            write_durably(path, content, mode=0o644)
        out.print(
            f"{escape(str(path))}: {len(content)} bytes; next: federated verify {escape(str(path))}"
        )
        if vectors is not None:
            _vectors_fetch(api, path, job_id, vectors)


def _vectors_fetch(api: CoordinatorAPI, bundle: Path, job_id: str, folder: Path) -> None:
    from federated.protocol.address import Attempt
    from federated.provenance.bundle import load_bundle
    from federated.verify.replay import record_of
    from federated.verify.vectors import VectorFolder

    def fetch(transcript: Transcript, digest: str) -> Iterator[bytes]:
        context = transcript.context
        return api.vector(Attempt(context.job_id, context.round, context.attempt), digest)

    with writing(folder):
        kept = VectorFolder.create(folder)
        record = record_of(load_bundle(bundle), job_id)
        state = kept.state_fill(record, api.model_pieces)
        size, gone = kept.fill(record.attempts, fetch)
    if state:
        out.print(f"{escape(str(folder))}: initial state fetched, {state} bytes")
    out.print(f"{escape(str(folder))}: {size} bytes of masked vectors fetched")
    if gone:
        out.print(f"[yellow]not kept any more: {'; '.join(gone)}[/]")


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))
@click.option("-o", "--out", "path", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--job", "job_id", help="Which job, if the bundle holds several.")
@VECTORS
@answered
def replay(bundle: Path, path: Path, job_id: str | None, vectors: Path | None) -> None:
    """Recompute BUNDLE's global model from its transcripts and write it as safetensors.

    Of a joint evaluation, its results as JSON.
    """
    from federated.command.show import evaluation_tables
    from federated.command.show_replay import software_print
    from federated.files import write_durably
    from federated.provenance.bundle import load_bundle
    from federated.training.model import save_model
    from federated.verify.replay import replay_job
    from federated.verify.vectors import VectorFolder

    beside = None if vectors is None else VectorFolder(vectors)
    done = replay_job(load_bundle(bundle), job_id, beside)
    if done.evaluation is not None:
        with writing(path):
            content = json.dumps(done.evaluation.dump(), indent=2) + "\n"
            write_durably(path, content.encode(), mode=0o644)
        for table in evaluation_tables(done.evaluation):
            out.print(table)
        software_print(done)
        out.print(f"results written to {escape(str(path))}")
        return
    with writing(path):
        written = save_model(path, done.spec.model, done.parameters)
    out.print(f"job {done.spec.job_id}: {done.state.step} rounds recomputed, state of each equal")
    out.print(f"state {done.state.digest()}")
    software_print(done)
    out.print(f"model written to {escape(str(written))}")


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Which option a value was given to."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(f"{option}: {error.message}") from error


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True)
@click.option("--log-key", "log_keys", multiple=True, help="A log's verifier key, known before.")
@click.option("--witness-key", "witness_keys", multiple=True, help="A witness's, known before.")
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="A site's folder: compare with what it cosigned.",
)
@click.option("--rpc", help="A chain's JSON-RPC address to look the anchors up at.")
@click.option("--contract", help="The anchors' contract, known before; with --rpc.")
@click.option(
    "--trust",
    type=click.Path(path_type=Path),
    help="The consortium's authority in PEM: check that the pinned keys are the organizations'.",
)
@VECTORS
@answered
def verify(
    *,
    bundle: Path,
    as_json: bool,
    log_keys: tuple[str, ...],
    rpc: str | None,
    contract: str | None,
    trust: Path | None,
    vectors: Path | None,
    witness_keys: tuple[str, ...],
    home: Path | None,
) -> None:
    """Verify BUNDLE without trusting who exported it; exit 1 where a check fails."""
    from federated.provenance.verify import log_keys_read, verify_bundle
    from federated.site.bundle_checks import site_checks
    from federated.site.folder import SiteHome
    from federated.verify import bundle_checks
    from federated.verify.trust import authorities_read
    from federated.verify.vectors import VectorFolder
    from federated.verify.witnesses import witness_checks

    beside = None if vectors is None else VectorFolder(vectors)
    authorities = authorities_read(trust) if trust else ()
    with naming("--log-key"):
        log_keys_read(log_keys)
    with naming("--witness-key"):
        witness_checks(witness_keys)
    own = []
    if home is not None:
        site = SiteHome(home)
        site.about()
        own.append(site_checks(site))
    checks = bundle_checks(
        vectors=beside,
        witness_keys=witness_keys,
        authorities=authorities,
        own=own,
        rpc=rpc,
        contract=contract,
    )
    report = verify_bundle(bundle, checks=checks, log_keys=log_keys)
    if as_json:
        listed = [vars(check) for check in report.checks]
        click.echo(json.dumps({"ok": report.ok, "checks": listed}, indent=2))
    else:
        for check in report.checks:
            told = escape(visible(f"{check.name}: {check.detail}"))
            out.print(f"{ROUND_MARKS[check.status]:<8} {told}")
        count = Counter(check.status for check in report.checks)
        missing = f", {count['skipped']} could not be made" if count["skipped"] else ""
        if count["failed"]:
            made = count["failed"] + count["ok"]
            out.print(f"[bold red]{count['failed']} of {made} checks failed[/]{missing}")
        else:
            out.print(f"[bold green]{count['ok']} checks hold[/]{missing}")
    sys.exit(0 if report.ok else 1)
