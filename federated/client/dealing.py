"""The key ceremony at the dealer's machine: progress, fingerprints, sealed files."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from federated.client.files import PRIVATE, write_durably
from federated.errors import Conflict
from federated.protocol.identity import key_id
from federated.protocol.keys import ceremony
from federated.wire.key import Roster


def deal_and_write(
    roster_json: bytes,
    *,
    threshold: int,
    max_colluding: int,
    bits: int,
    number: int,
    folder: Path,
    console: Console,
) -> str:
    """Deal a key to the roster and write ``key.json`` and ``shares/<organization>.json``.

    Returns the epoch's digest: what people compare out of band. Raises Conflict where the folder
    holds a key already, InvalidInput for a bad roster or an unsafe quorum.
    """
    roster = Roster.parse(roster_json)
    if (folder / "key.json").exists():
        raise Conflict(f"{folder}: holds a key already; choose another folder")
    for site in roster.sites:
        console.print(f"  {site.organization:<24} signing key {key_id(site.public_key)}")
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task(f"searching two safe primes of {bits // 2} bits")

        def step(found: int, tested: int) -> None:
            progress.update(
                task, description=f"safe primes: {found} of 2 found, {tested:,} candidates tested"
            )

        epoch, sealed = ceremony(
            roster,
            number=number,
            threshold_of=threshold,
            max_colluding=max_colluding,
            bits=bits,
            progress=step,
        )
    # The key comes last: a folder with key.json is whole.
    for share in sealed:
        content = share.canonical()
        write_durably(folder / "shares" / f"{share.organization}.json", content, mode=PRIVATE)
    write_durably(folder / "key.json", epoch.canonical(), mode=0o644)
    digest = epoch.digest()
    console.print(
        f"key epoch {number}: {threshold} of {len(sealed)} trustees decrypt, "
        f"{bits} bits, sealed shares in {os.path.relpath(folder)}"
    )
    console.print(f"fingerprint {digest}")
    console.print("compare it with what every site's agent prints; the key itself is now forgotten")
    return digest
