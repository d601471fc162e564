"""A site's own signed contributions go too, once their job is over here and their time has come.

What stays is a note with the digest: without it, a coordinator that asks for the attempt again
would get a second contribution with fresh noise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from federated.files import write_once
from federated.protocol.address import Attempt
from federated.protocol.agreement import ledger_id
from federated.site.campaign_folder import EXPIRED, CampaignFolder, RunFolder
from federated.site.folder import SiteHome
from federated.site.job_folder import JobFolder
from federated.wire.base import Signed, canonical
from federated.wire.round import Contribution

DAY_SECONDS = 86_400.0
NAME, NOTE = "contribution.json", "contribution-expired.json"


def contributions_expire(home: SiteHome, *, now: float) -> int:
    """Delete what is older than the policy keeps, of jobs that are over here; how many.

    ``now`` is seconds since 1970; a contribution's age is its file's. Safe to repeat after a
    crash at any line: the note is on the disk before the contribution goes.
    """
    oldest, open_here = _limits(home, now)
    removed = 0
    for job_id in home.jobs():
        kept = sorted((home.job(job_id).path / "attempts").glob(f"*/{NAME}"))
        if job_id not in open_here and _old(kept, oldest):
            for path in kept:
                digest = Signed[Contribution].parse(path.read_bytes()).digest()
                note = canonical({"at": _moment(), "contribution": digest})
                _expire(path.with_name(NOTE), note, [*path.parent.glob("*.vector"), path])
            removed += len(kept)
    return removed


def submissions_expire(home: SiteHome, *, now: float) -> int:
    """The same for campaigns' runs: submissions and trustees' noise; how many runs.

    Measurements, releases and verdicts stay; they are this site's own.
    """
    oldest, open_here = _limits(home, now)
    removed = 0
    for campaign_id in home.campaigns():
        folder = home.campaign(campaign_id)
        going = any(ledger_id(spec) in open_here for spec in folder.specs())
        for run in _runs_over(folder, going=going):
            kept = [run.path / "noise.json", run.path / "submission.json"]
            kept = [path for path in kept if path.exists()]
            if _old(kept, oldest):
                kept += run.path.glob("replaced-*.json")
                digests = {
                    path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept
                }
                note = json.dumps({"at": _moment(), "sha256": digests}).encode()
                _expire(run.path / EXPIRED, note, kept)
                removed += 1
    return removed


def _runs_over(folder: CampaignFolder, *, going: bool) -> Iterator[RunFolder]:
    """Runs that were released here, or have a later one; all once the campaign is over."""
    numbers = folder.runs()
    for number in numbers:
        run = folder.run(number)
        if not going or run.release() is not None or number < numbers[-1]:
            yield run


def expired_here(folder: JobFolder, at: Attempt) -> bool:
    """Whether this site made a contribution to the attempt and has let it go."""
    return (folder.path / at.file(NOTE)).exists()


def _limits(home: SiteHome, now: float) -> tuple[float, set[str]]:
    """The oldest file that is kept, and what the ledger holds open."""
    days = home.policy().keep_contributions_days
    return now - days * DAY_SECONDS, set(home.ledger.open_jobs())


def _old(kept: list[Path], oldest: float) -> bool:
    return bool(kept) and max(path.stat().st_mtime for path in kept) <= oldest


def _moment() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _expire(note: Path, content: bytes, kept: list[Path]) -> None:
    """The note first: without it, what is asked for again would get fresh noise."""
    write_once(note, content)
    for path in kept:
        path.unlink(missing_ok=True)
