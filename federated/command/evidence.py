"""``federated evidence``: what a site knows as a witness, and evidence against a log."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.markup import escape

from federated.command.console import answered, out
from federated.command.root import writing
from federated.errors import InvalidInput
from federated.provenance.checkpoint import VerifierKey, verify_checkpoint
from federated.provenance.evidence import Evidence, evidence_check
from federated.wire.base import canonical

FORMAT = "federated-simulation-cloud/evidence/1"
MAX_BYTES = 2**28


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="The site's folder.")
@click.option(
    "-o", "--out", "path", type=click.Path(path_type=Path, dir_okay=False), help="Export to FILE."
)
@click.option("--log-key", "log_keys", multiple=True, help="A log's verifier key, known before.")
@answered
def evidence(
    file: Path | None, home: Path | None, path: Path | None, log_keys: tuple[str, ...]
) -> None:
    """Show what the site at HOME cosigned and what it holds against a log; or check FILE.

    FILE is what another site exported; nothing but the log's verifier key is needed to check it.
    Exit 1 where there is evidence.
    """
    if (file is None) == (home is None):
        raise InvalidInput("give either a FILE to check or --home of a site")
    if file is not None:
        found = _read(file)
        _check(found, log_keys)
    else:
        assert home is not None
        found = _show(home, path)
    sys.exit(1 if found else 0)


def _read(file: Path) -> list[Evidence]:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"{file}: an evidence file has at most {MAX_BYTES} bytes")
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file}: not JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InvalidInput(f"{file}: not an evidence file")
    listed = content.get("evidence")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise InvalidInput(f"{file}: evidence: must be a list of objects")
    return [Evidence.parse(item) for item in listed]


def _check(listed: list[Evidence], log_keys: tuple[str, ...]) -> None:
    keys = {key.name: key for key in map(VerifierKey.parse, log_keys)}
    for item in listed:
        key = keys.get(item.origin)
        if key is None:
            raise InvalidInput(f"--log-key: the verifier key of {item.origin} is needed")
        conclusion = evidence_check(item, key)
        out.print(f"[bold red]{item.kind}[/] {escape(item.origin)}: {escape(conclusion)}")
        _heads(item, key)


def _heads(item: Evidence, key: VerifierKey) -> None:
    for name, note in (("held ", item.held), ("shown", item.shown)):
        head = verify_checkpoint(note, key)
        out.print(f"  {name} size {head.size}, root {head.root.hex()}, signed by {key}")


def _show(home: Path, path: Path | None) -> list[Evidence]:
    from federated.site.folder import SiteHome
    from federated.site.witness import LOGS, Witness

    witness = Witness(SiteHome(home))
    out.print(f"witness {witness.key_message().key}")
    for log in LOGS:
        key = witness.log_key_pinned(log)
        head = None if key is None else witness.head(log, key)
        what = (
            "nothing cosigned yet"
            if head is None
            else f"cosigned up to size {head.size}, root {head.checkpoint.root.hex()}"
        )
        out.print(escape(f"log {witness.origin(log)}: {what}"))
        if key is not None:
            out.print(escape(f"  its key, as first met: {key}"))
    found = list(witness.evidence())
    for item in found:
        out.print(f"[bold red]{item.kind}[/] {item.seen_at} {escape(item.detail)}")
    out.print(f"{len(found)} contradictions kept" if found else "no contradiction was met")
    if path is not None:
        content = {"format": FORMAT, "evidence": [item.dump() for item in found]}
        with writing(path):
            path.write_bytes(canonical(content) + b"\n")
        out.print(
            f"written to {escape(str(path))}; check it: federated evidence FILE --log-key KEY"
        )
    return found
