"""The key ceremony at the dealer's machine: progress, fingerprints, sealed files."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from federated.errors import Conflict
from federated.files import PRIVATE, write_durably
from federated.protocol.keys import ceremony
from federated.site.fingerprints import grouped
from federated.wire.key import Roster


def deal_and_write(
    roster: Roster,
    *,
    threshold: int,
    max_colluding: int,
    bits: int,
    number: int,
    folder: Path,
    console: Console,
) -> str:
    """Deal a key to the roster and write ``key.json`` and ``shares/<organization>.json``.

    The roster's fingerprints have been confirmed. Returns the epoch's digest: what people compare
    out of band. Raises Conflict where the folder holds a key already, InvalidInput for an unsafe
    quorum. Nothing secret is written; no core is dumped. The operating system may still have
    paged memory out: swap is off, or encrypted, on a dealer's machine.
    """
    if (folder / "key.json").exists():
        raise Conflict(f"{folder}: holds a key already; choose another folder")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task(f"searching two safe primes of {bits // 2} bits")

        def step(primes: int, tested: int) -> None:
            progress.update(
                task, description=f"safe primes: {primes} of 2 found, {tested:,} candidates tested"
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
    console.print(f"fingerprint {grouped(digest)}")
    console.print("read it out to every site, which accepts it: federated key accept FINGERPRINT")
    console.print("the key itself is now forgotten")
    return digest
