"""``federated roster``, ``ceremony`` and ``key``: threshold keys, at the dealer and at a site."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from federated.command.console import HOME, answered, coordinator, out
from federated.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from federated.site.folder import SiteHome
    from federated.wire.key import KeyEpoch, Roster

INTERACTIVE = "interactive"


@click.command()
@HOME
@answered
def roster(home: Path) -> None:
    """Print the consortium's roster as JSON, for the key ceremony."""
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    with coordinator(site) as api:
        click.echo(json.dumps(api.roster().dump(), indent=2))


@click.command()
@click.option(
    "--roster",
    "roster_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True),
    required=True,
)
@click.option("--threshold", type=click.IntRange(2), required=True, help="Trustees that decrypt.")
@click.option("--max-colluding", type=click.IntRange(1), default=1, show_default=True)
@click.option("--bits", type=click.IntRange(512), default=3072, show_default=True)
@click.option("--number", type=click.IntRange(1), default=1, show_default=True, help="Key epoch.")
@click.option("--without", "left_out", multiple=True, help="An organization that gets no share.")
@click.option(
    "--confirm",
    default=INTERACTIVE,
    show_default=True,
    help="File of what the sites read out, 'organization fingerprint' a line; or asks for each.",
)
@click.option("--out", "folder", type=click.Path(path_type=Path, file_okay=False), required=True)
@answered
def ceremony(
    *,
    roster_file: Path,
    threshold: int,
    max_colluding: int,
    bits: int,
    number: int,
    left_out: tuple[str, ...],
    confirm: str,
    folder: Path,
) -> None:
    """Deal a threshold key to the roster's sites; nothing but sealed shares is written.

    Each site reads out its fingerprint (federated key fingerprint) over a way that the coordinator
    does not control. Run it on a separate machine: the whole key is in its memory while it runs.
    """
    from federated.site.ceremony import deal_and_write
    from federated.site.fingerprints import check_confirmations, read_confirmations, without
    from federated.wire.key import Roster

    piped = str(roster_file) == "-"
    if confirm == INTERACTIVE and piped:
        raise InvalidInput("--roster -: then --confirm needs a file, for nobody can be asked")
    content = sys.stdin.buffer.read() if piped else roster_file.read_bytes()
    chosen = without(Roster.parse(content), left_out)
    if confirm == INTERACTIVE:
        _ask(chosen)
    else:
        check_confirmations(chosen, read_confirmations(Path(confirm)))
        out.print(f"{len(chosen.sites)} sites confirmed by {escape(confirm)}")
    deal_and_write(
        chosen,
        threshold=threshold,
        max_colluding=max_colluding,
        bits=bits,
        number=number,
        folder=folder,
        console=out,
    )


def _ask(roster: Roster) -> None:
    """Every site's fingerprint, one by one. Raises InvalidInput at the first that is not heard."""
    from federated.site.fingerprints import grouped

    for site in roster.sites:
        out.print(f"[bold]{site.organization}[/]  {grouped(site.digest())}")
        try:
            heard = click.confirm(f"Has {site.organization} read out the same?", default=False)
        except click.Abort:
            heard = False
        if not heard:
            raise InvalidInput(f"{site.organization} is not confirmed; nothing was dealt")


@click.group()
def key() -> None:
    """The site's keys: what it accepted, holds a share of, and destroyed."""


@key.command()
@HOME
@answered
def fingerprint(home: Path) -> None:
    """Print what this site reads out before a ceremony: its own two keys' fingerprint."""
    from federated.site.fingerprints import grouped, site_fingerprint
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    click.echo(f"{site.credentials.organization} {grouped(site_fingerprint(site))}")


@key.command()
@HOME
@click.argument("epoch", required=False)
@answered
def show(home: Path, epoch: str | None) -> None:
    """Show the key epochs that this site knows, or EPOCH (its fingerprint's beginning) whole."""
    from federated.protocol.identity import key_id
    from federated.protocol.keys import public_key_of
    from federated.site.fingerprints import grouped
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    known = _known(site, epoch or "")
    if not known:
        raise NotFound(
            f"no key epoch {epoch} is known to this site"
            if epoch
            else "no key was offered to this site yet; its agent asks the coordinator for one"
        )
    for message, said in known:
        bits = public_key_of(message).bits
        quorum = f"{message.threshold} of {len(message.trustees)} decrypt, {bits} bits"
        out.print(f"key epoch [bold]{message.number}[/], {quorum}: {escape(said)}")
        out.print(f"  {grouped(message.digest())}")
        if epoch:
            for trustee in message.trustees:
                named = f"  trustee {trustee.index} {trustee.organization:<20}"
                out.print(f"{named} signing key {key_id(trustee.public_key)}")


@key.command()
@HOME
@click.argument("fingerprint")
@answered
def accept(home: Path, fingerprint: str) -> None:
    """Accept the key whose FINGERPRINT the ceremony read out (32 digits or more of it)."""
    from federated.command.ledger import by_hand
    from federated.site import fingerprints
    from federated.site.folder import SiteHome

    site = SiteHome(home)
    digits = fingerprints.parse(fingerprint, least=fingerprints.ENOUGH)
    matching = [message for message, _ in _known(site, digits)]
    if matching:
        digits = matching[0].digest()
    elif len(digits) < fingerprints.DIGITS:
        raise fingerprints.FingerprintMismatch(
            "no key that was offered to this site begins so; compare again, or give all "
            f"{fingerprints.DIGITS} digits to accept it before it is offered"
        )
    folder = site.epoch_folder(digits)
    folder.check_not_retired()
    note = folder.accept(by_hand())
    what = f"key epoch {matching[0].number}" if matching else "not offered yet; the key"
    out.print(f"{what} is accepted ({note.by}, {note.at}): {fingerprints.grouped(digits)}")
    out.print("the site's agent takes its share and confirms it at its next look")


@key.command()
@HOME
@click.argument("fingerprint")
@click.option("--yes", is_flag=True, help="Do not ask.")
@answered
def retire(home: Path, fingerprint: str, yes: bool) -> None:
    """Destroy this site's share of a key for good (16 digits or more of its FINGERPRINT).

    Nothing can be decrypted with it any more: jobs under it may not finish.
    """
    from federated.command.ledger import by_hand
    from federated.site import fingerprints
    from federated.site.folder import SiteHome
    from federated.site.work.retire import retire_by_person, what_needs

    site = SiteHome(home)
    digits = fingerprints.parse(fingerprint, least=16)
    known = _known(site, digits)
    if not known:
        raise NotFound(f"no key epoch {digits[:16]} is known to this site")
    message = known[0][0]
    needed = what_needs(site, site.epoch_folder(message.digest()))
    if needed:
        out.print(f"[yellow]note[/] {escape(needed)}")
    question = f"Destroy the share of key epoch {message.number} for good?"
    if not (yes or click.confirm(question, default=False)):
        raise InvalidInput("nothing was destroyed")
    retire_by_person(site, message.digest(), by=by_hand())
    out.print(f"key epoch {message.number}: the share is destroyed")


def _known(home: SiteHome, beginning: str) -> list[tuple[KeyEpoch, str]]:
    """The site's epochs whose fingerprint begins so, by number, and where each stands here."""
    found = []
    for folder in home.epoch_folders():
        message = folder.epoch() or folder.offered()
        if message is None or not folder.digest.startswith(beginning):
            continue
        retired, accepted = folder.retired(), folder.accepted()
        if retired is not None:
            said = f"retired {retired.at} ({retired.by})"
        elif folder.epoch() is None:
            said = "accepted, not yet taken" if accepted else "offered, not accepted"
        else:
            share = folder.share()
            held = "no share of this site" if share is None else f"share {share.index} held"
            said = f"accepted ({accepted.by}), {held}" if accepted else f"accepted, {held}"
        found.append((message, said))
    return sorted(found, key=lambda pair: pair[0].number)
