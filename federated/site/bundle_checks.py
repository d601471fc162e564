"""The verifier's check that only a site can make: a bundle against the heads that it cosigned."""

from __future__ import annotations

from collections.abc import Iterator

from federated.errors import InvalidInput
from federated.provenance.bundle import Bundle
from federated.provenance.checkpoint import verify_checkpoint
from federated.provenance.verify import BundleCheck, Check
from federated.site.folder import SiteHome
from federated.site.witness import LOGS, Head, LogDeceives, Witness


def site_checks(home: SiteHome) -> BundleCheck:
    """Compares a bundle's checkpoints with those that the site itself cosigned.

    Another root for a size that the site cosigned is a fork, which is kept as evidence.
    """

    def own_heads(bundle: Bundle) -> Iterator[Check]:
        witness = Witness(home)
        mine = {witness.origin(log): log for log in LOGS}
        for log in bundle.logs:
            name = f"log {log.origin}: this site's heads"
            if log.origin not in mine:
                yield Check(name, "skipped", "this site is no witness of it")
                continue
            key = witness.log_key_pinned(mine[log.origin])
            if key is None:
                yield Check(name, "skipped", "this site has cosigned nothing of it")
                continue
            shared = 0
            try:
                for note in log.checkpoints:
                    shown = Head(verify_checkpoint(note, key), note)
                    held = witness.head_of(mine[log.origin], shown.size, key)
                    if held is not None:
                        witness.confront(held, shown, None, whose="this site's head")
                        shared += 1
            except (InvalidInput, LogDeceives) as error:
                yield Check(name, "failed", error.message)
                continue
            if shared:
                yield Check(name, "ok", f"{shared} checkpoints are those that this site cosigned")
            else:
                yield Check(name, "skipped", "no checkpoint has a size that this site cosigned")

    return own_heads
