"""Destroying a share: only where this site sees for itself that it is needed no more."""

from __future__ import annotations

from federated.errors import NotFound
from federated.protocol.agreement import ledger_id
from federated.site.epochs import EpochFolder
from federated.site.folder import SiteHome
from federated.site.site import Site, Waiting
from federated.wire.key import KeyEpoch, KeyRetired

SUPERSEDED = "a newer key is accepted here and no job of this site needs this one"


def key_retire(site: Site, digest: str) -> None:
    """Destroy this site's share of a retired epoch, then say so; the same bytes when asked again.

    The coordinator asks; the site's own record decides (what_needs). Raises Waiting while
    something here still needs the share: a person may overrule it, `federated key retire`.
    """
    folder = site.home.epoch_folder(digest)
    if folder.retired() is None:
        needed = what_needs(site.home, folder)
        if needed:
            raise Waiting(f"key epoch {digest[:16]} is to be retired, its share is kept: {needed}")
    note = folder.retire(SUPERSEDED)
    word = folder.word()
    if word is None:
        body = KeyRetired(epoch=digest, organization=site.organization)
        word = folder.word_keep(site.identity.sign(body))
        site.say(f"key epoch {digest[:16]}: share destroyed ({note.by})")
    site.api.key_retired(digest, word)


def what_needs(home: SiteHome, folder: EpochFolder) -> str:
    """Why this site keeps its share although it is asked to destroy it; empty if nothing does.

    An epoch that was never accepted here has no share, and needs nothing.
    """
    epoch = folder.epoch()
    if epoch is None:
        return ""
    if home.policy().retire_keys == "ask":
        return "policy retire_keys: ask; federated key retire destroys it"
    if not any(newer.number > epoch.number for newer in _held(home)):
        return "no newer key epoch is accepted here"
    entries = home.ledger.open_jobs()
    for job_id in entries:
        job = home.job(job_id).spec()
        if job is not None and job.key_epoch == folder.digest:
            return f"job {job_id[:8]} under it is not over here"
    for campaign_id in home.campaigns():
        for spec in home.campaign(campaign_id).specs():
            if spec.key_epoch == folder.digest and ledger_id(spec) in entries:
                return f"campaign {campaign_id[:8]} under it is not over here"
    return ""


def retire_by_person(home: SiteHome, digest: str, *, by: str) -> EpochFolder:
    """Destroy a share at a person's word, whatever needs it. Raises NotFound."""
    folder = home.epoch_folder(digest)
    if folder.epoch() is None and folder.offered() is None:
        raise NotFound(f"key epoch {digest[:16]} is not known to this site")
    folder.retire(by)
    return folder


def _held(home: SiteHome) -> list[KeyEpoch]:
    found = [folder.epoch() for folder in home.epoch_folders() if folder.retired() is None]
    return [epoch for epoch in found if epoch is not None]
