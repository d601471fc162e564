"""A site's own signed contributions go too, once their job is over here and their time has come.

What stays is a note with the digest: without it, a coordinator that asks for the attempt again
would get a second contribution with fresh noise.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from federated.client.files import write_once
from federated.client.home import Attempt, JobFolder, SiteHome
from federated.wire.base import Signed, canonical
from federated.wire.round import Contribution

DAY_SECONDS = 86_400.0
NAME, NOTE = "contribution.json", "contribution-expired.json"


def contributions_expire(home: SiteHome, *, now: float) -> int:
    """Delete what is older than the policy keeps, of jobs that are over here; how many.

    ``now`` is seconds since 1970; a contribution's age is its file's. Safe to repeat after a
    crash at any line: the note is on the disk before the contribution goes.
    """
    oldest = now - home.policy().keep_contributions_days * DAY_SECONDS
    open_here = set(home.ledger.open_jobs())
    removed = 0
    for job_id in home.jobs():
        kept = sorted((home.job(job_id).path / "attempts").glob(f"*/{NAME}"))
        if not kept or job_id in open_here or max(_written(path) for path in kept) > oldest:
            continue
        for path in kept:
            _expire(path)
            removed += 1
    return removed


def expired_here(folder: JobFolder, at: Attempt) -> bool:
    """Whether this site made a contribution to the attempt and has let it go."""
    return (folder.path / at.file(NOTE)).exists()


def _written(path: Path) -> float:
    return path.stat().st_mtime


def _expire(path: Path) -> None:
    digest = Signed[Contribution].parse(path.read_bytes()).digest()
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    write_once(path.with_name(NOTE), canonical({"at": moment, "contribution": digest}))
    for vector in path.parent.glob("*.vector"):
        vector.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
