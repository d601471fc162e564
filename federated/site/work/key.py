"""Taking a key share: fetch, check, open, keep, confirm."""

from __future__ import annotations

from federated.errors import Forbidden, InvalidInput
from federated.protocol.keys import open_share, public_key_of, verification_of
from federated.site.epochs import EpochFolder
from federated.site.fingerprints import grouped
from federated.site.site import Site, Waiting
from federated.wire.key import KeyConfirmation, KeyEpoch


class KeyNotAccepted(Forbidden, Waiting):
    """The policy wants a person to compare the key's fingerprint first."""

    code = "key_not_accepted"
    title = "Nobody here has accepted the key yet"


def key_take(site: Site, digest: str) -> KeyEpoch:
    """Check an epoch, keep it and this site's share, and confirm.

    Raises InvalidInput for an epoch that is not the one named, of another consortium, or that
    pins another key for this organization; PolicyRefusal for a key that the site's policy does
    not take; KeyNotAccepted where a person is to compare its fingerprint first; KeyIsRetired for
    one whose share this site destroyed; EnvelopeInvalid or ProofInvalid for a wrong share.
    """
    folder = site.home.epoch_folder(digest)
    folder.check_not_retired()
    epoch = folder.epoch()
    share = None if epoch is None else folder.share()
    if epoch is None or share is None:
        epoch, sealed = site.api.key(digest)
        _check(site, epoch, digest)
        _accept(site, folder, epoch)
        if sealed is None:
            # Not a trustee: the public side is enough to contribute and to verify.
            folder.epoch_keep(epoch)
            site.say(f"key epoch {epoch.number} kept, fingerprint {digest[:16]}")
            return epoch
        if sealed.organization != site.organization:
            raise InvalidInput(f"the sealed share is for {sealed.organization}")
        share = open_share(sealed, epoch, site.home.encryption_key())
        folder.share_keep(share)
        folder.epoch_keep(epoch)
    confirmation = KeyConfirmation(epoch=digest, organization=site.organization)
    site.api.key_confirm(digest, site.identity.sign(confirmation))
    site.say(
        f"key epoch {epoch.number}: share {share.index} of {len(epoch.trustees)} opened and "
        f"checked, fingerprint {digest[:16]}"
    )
    return epoch


def epoch_of(site: Site, digest: str) -> KeyEpoch:
    """The kept epoch; taken from the coordinator first where it is new here."""
    return site.home.epoch(digest) or key_take(site, digest)


def _accept(site: Site, folder: EpochFolder, epoch: KeyEpoch) -> None:
    """By the policy, or by a person who compared the fingerprint (`federated key accept`)."""
    if folder.accepted() is not None:
        return
    pins = site.home.policy().key_epochs
    if pins == "ask":
        folder.offer_keep(epoch)
        raise KeyNotAccepted(
            f"key epoch {epoch.number} waits: compare {grouped(folder.digest)} with what the "
            f"ceremony read out, then: federated key accept {folder.digest} --home {site.home.path}"
        )
    folder.accept("policy key_epochs: any" if pins == "any" else "policy key_epochs")


def _check(site: Site, epoch: KeyEpoch, digest: str) -> None:
    if epoch.digest() != digest:
        raise InvalidInput(f"key epoch {epoch.digest()[:16]} came for {digest[:16]}")
    consortium = site.home.about().consortium
    if epoch.consortium != consortium:
        raise InvalidInput(f"key epoch of consortium {epoch.consortium}, this is {consortium}")
    own = epoch.trustee(site.organization)
    if own is not None and own.public_key != site.identity.public_key:
        raise InvalidInput("the key epoch pins another signing key for this organization")
    verification_of(epoch)
    site.home.policy().check_key(epoch, bits=public_key_of(epoch).bits)
