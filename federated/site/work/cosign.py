"""Cosigning a log's newest checkpoint, once it is seen to extend the last one.

The site believes nothing but the log's key that it pinned: the offered head must be signed by it
and extend the head that the site cosigned last, and every head that another witness cosigned must
be of the same tree. Where one is not, both are kept as evidence, and nothing is cosigned.
"""

from __future__ import annotations

import time

from federated.errors import DomainError, SignatureInvalid
from federated.protocol.identity import verify_signed
from federated.provenance.checkpoint import VerifierKey, signed_only_by, split_note
from federated.provenance.cosignature import (
    CosignerKey,
    Request,
    cosign,
    cosignature_of,
    witness_name,
)
from federated.site.site import Site
from federated.site.witness import Head, LogDeceives, Witness, WitnessRefuses
from federated.wire.base import Signed
from federated.wire.witness import Cosigned, CosignOffer, LogName, WitnessedHead, WitnessKey

CLOCK_SKEW = 600
"""Seconds that another witness's clock may be ahead of this site's."""


def checkpoint_cosign(site: Site, log: LogName) -> None:
    """Cosign what the log offers and send it. Raises LogDeceives or WitnessRefuses."""
    witness = Witness(site.home)
    size = witness.head_size(log)
    offer = site.api.cosign_offer(log, old=size)
    _register(site, witness, offer)
    key = witness.log_key(log, offer.verifier_key)
    try:
        head = _checked(witness, log, offer, key)
        for other in offer.others:
            _compare(site, witness, log, head, other, key=key)
    except LogDeceives as error:
        site.say(f"EVIDENCE {error.message}")
        raise
    if head.size > size:
        note = signed_only_by(head.note, key)
        line = cosign(split_note(note)[0], witness.key(), name=witness.name, time=_now())
        head = Head(head.checkpoint, note + line)
        witness.head_keep(log, head)
    else:
        # What was sent before did not arrive: the same bytes again.
        head = witness.head(log, key) or head
    site.api.cosigned_send(log, site.identity.sign(Cosigned(note=head.note)))


def _now() -> int:
    return int(time.time())


def _register(site: Site, witness: Witness, offer: CosignOffer) -> None:
    """Bind the witness key to the site's signing key, unless the portal has just that."""
    message = witness.key_message()
    if offer.registered == message.digest():
        return
    site.api.witness_register(site.identity.sign(message))
    site.say(f"witness key registered: {message.key}")


def _checked(witness: Witness, log: LogName, offer: CosignOffer, key: VerifierKey) -> Head:
    """The offered head, if it is the log's and extends what this site cosigned last."""
    request = Request.parse(offer.request)
    head = witness.head_read(log, request.note, key)
    same = witness.head_of(log, head.size, key)
    proof = tuple(item.hex() for item in request.proof)
    if same is not None:
        witness.confront(same, head, None, whose="this site's head")
    held = witness.head(log, key)
    if held is None and head.size == 0:
        raise WitnessRefuses(f"log {witness.origin(log)}: its checkpoint covers nothing")
    if held is None:
        return head
    if head.size < held.size:
        witness.accuse("shrunk", held, head, whose="this site's newest head")
    if request.old != held.size:
        raise WitnessRefuses(
            f"log {witness.origin(log)}: the proof starts at size {request.old}, "
            f"this site's head has {held.size}"
        )
    witness.confront(held, head, proof, whose="this site's newest head")
    return head


def _compare(
    site: Site,
    witness: Witness,
    log: LogName,
    head: Head,
    other: WitnessedHead,
    *,
    key: VerifierKey,
) -> None:
    """Check what another witness cosigned against the offered head."""
    organization = other.witness.body.organization
    cosigner = _cosigner(site, witness, other.witness)
    seen = witness.head_read(log, other.note, key)
    try:
        cosignature = cosignature_of(other.note, cosigner)
    except SignatureInvalid as error:
        raise WitnessRefuses(error.message) from error
    if cosignature is None:
        raise WitnessRefuses(f"the head shown as {organization}'s is not cosigned by it")
    if cosignature.time > _now() + CLOCK_SKEW:
        raise WitnessRefuses(
            f"the cosignature by {organization} is of a time {cosignature.time - _now()} s "
            "ahead of this site's clock"
        )
    whose = f"the head that {organization} cosigned"
    mine = witness.head_of(log, seen.size, key)
    if mine is not None:
        witness.confront(seen, mine, None, whose=whose)
    if seen.size <= head.size:
        witness.confront(seen, head, other.proof, whose=whose)


def _cosigner(site: Site, witness: Witness, signed: Signed[WitnessKey]) -> CosignerKey:
    """A witness's key, bound by the signing key that the roster names for its organization."""
    digest = signed.digest()
    if digest not in site.cosigners:
        keys = {entry.organization: entry.public_key for entry in site.api.roster().sites}
        site.cosigners[digest] = _bound(witness, signed, keys)
    return site.cosigners[digest]


def _bound(witness: Witness, signed: Signed[WitnessKey], keys: dict[str, str]) -> CosignerKey:
    organization, consortium = signed.body.organization, witness.about.consortium
    if organization not in keys:
        raise WitnessRefuses(f"{organization} is shown as a witness and is not in the roster")
    try:
        verify_signed(signed, keys[organization])
        key = CosignerKey.parse(signed.body.key)
    except DomainError as error:
        raise WitnessRefuses(f"the witness key of {organization}: {error.message}") from error
    if key.name != witness_name(consortium, organization) or signed.body.consortium != consortium:
        raise WitnessRefuses(f"the witness key of {organization} is bound to another name")
    return key
