"""``federated card``: a released model's card, from a bundle that is verified first."""

from __future__ import annotations

from pathlib import Path

import click
from rich.markup import escape

from federated.command.console import answered, out
from federated.command.root import VECTORS, writing
from federated.errors import InvalidInput


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-o", "--out", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write to FILE."
)
@click.option("--json", "as_json", is_flag=True, help="JSON in place of HTML.")
@click.option("--job", "job_id", help="Which job, if the bundle holds several models.")
@click.option("--log-key", "log_keys", multiple=True, help="A log's verifier key, known before.")
@click.option(
    "--trust",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The consortium's certificate authority (PEM), known before.",
)
@VECTORS
@answered
def card(
    *,
    bundle: Path,
    path: Path | None,
    as_json: bool,
    job_id: str | None,
    log_keys: tuple[str, ...],
    trust: Path | None,
    vectors: Path | None,
) -> None:
    """Make the model card of BUNDLE's model: HTML to -o FILE, or JSON.

    The bundle is verified first; if a check fails no card is written.
    """
    from federated.card.card import bundle_card, card_json
    from federated.card.page import card_page
    from federated.files import write_durably
    from federated.provenance.bundle import load_bundle
    from federated.provenance.verify import bundle_checked
    from federated.verify import bundle_checks
    from federated.verify.trust import authorities_read
    from federated.verify.vectors import VectorFolder

    if path is None and not as_json:
        raise InvalidInput("give -o FILE for the HTML page, or --json")
    beside = None if vectors is None else VectorFolder(vectors)
    given = load_bundle(bundle)
    authorities = authorities_read(trust) if trust else ()
    asked = bundle_checks(vectors=beside, authorities=authorities)
    checks = tuple(bundle_checked(given, checks=asked, log_keys=log_keys))
    made = bundle_card(given, job_id=job_id, checks=checks)
    content = card_json(made) if as_json else card_page(made)
    if path is None:
        click.echo(content, nl=False)
        return
    with writing(path):
        write_durably(path, content.encode(), mode=0o644)
    held, skipped = made["verification"]["held"], len(made["verification"]["skipped"])
    out.print(f"{held} checks hold, {skipped} could not be made (the card lists them)")
    out.print(f"card of job {made['job_id']} written to {escape(str(path))}")
