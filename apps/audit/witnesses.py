"""Decides which witnesses count for which log, and takes what they send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django_tenants.utils import schema_context

from apps.common.actor import Actor
from apps.common.coordinator import as_coordinator
from apps.keys.bell import bell_ring
from apps.keys.selectors import roster
from apps.provenance import witnesses as provenance
from apps.provenance.models import Checkpoint, Witness
from apps.provenance.witnesses import Panel
from federated.protocol.identity import key_id, verify_signed
from federated.wire.base import Signed
from federated.wire.witness import Cosigned, CosignOffer, LogName, WitnessKey


@contextmanager
def log_entered(log: LogName, organization: str) -> Iterator[None]:
    """Work in the consortium's log, or in the organization's own."""
    if log == "own":
        with schema_context(f"t_{organization}"):
            yield
    else:
        with as_coordinator():
            yield


def witnesses_active(log: LogName, organization: str) -> Panel:
    """The witnesses that count for a log.

    For the consortium's log every organization with an active site has a seat, whether its site
    has registered a key or not: an absent witness must not make the others' word weigh more. For an
    organization's own log that organization alone has one, because a checkpoint tells outsiders how
    much goes on there.
    """
    with as_coordinator():
        keys = {site.organization: key_id(site.public_key) for site in roster().sites}
        if log == "own":
            keys = {slug: key for slug, key in keys.items() if slug == organization}
        found = Witness.objects.filter(organization__in=keys).order_by("organization", "created_at")
        newest = {witness.organization: witness for witness in found}
    bound = {slug: one for slug, one in newest.items() if one.signed.signer == keys[slug]}
    return Panel(seats=len(keys), witnesses=bound)


def witness_key_register(
    *, organization: str, signed: Signed[WitnessKey], public_key: str, actor: Actor
) -> bool:
    """Keep a site's witness key; ``public_key`` is the site's signing key. True if it is new.

    Raises Forbidden, SignatureInvalid or InvalidInput.
    """
    verify_signed(signed, public_key)
    return provenance.witness_register(organization=organization, signed=signed, actor=actor)


def checkpoint_offer(*, log: LogName, organization: str, old: int, public_key: str) -> CosignOffer:
    """Returns what a site is asked to cosign. Raises NotFound while the log has no checkpoint."""
    mine = provenance.witness_newest(organization)
    bound = mine is not None and mine.signed.signer == key_id(public_key)
    registered = mine.signed.body.digest() if mine is not None and bound else None
    panel = witnesses_active(log, organization)
    with log_entered(log, organization):
        return provenance.cosign_offer(
            old=old, organization=organization, registered=registered, panel=panel
        )


def checkpoint_cosigned(
    *, log: LogName, organization: str, signed: Signed[Cosigned], public_key: str
) -> bool:
    """Keep a site's cosignature. True if it is new.

    Raises SignatureInvalid, Forbidden, NotFound, InvalidInput or ClockDiffers.
    """
    verify_signed(signed, public_key)
    panel = witnesses_active(log, organization)
    with log_entered(log, organization):
        created = provenance.cosignature_accept(
            note=signed.body.note, organization=organization, panel=panel
        )
    bell_ring([organization])
    return created


def log_status(log: LogName, organization: str) -> dict[str, Any]:
    """Return how far a log is signed, cosigned by whom, and final."""
    panel = witnesses_active(log, organization)
    with log_entered(log, organization):
        newest = Checkpoint.objects.order_by("-size").first()
        heads = provenance.cosigned_sizes(panel, beyond=-1)
        final = provenance.final_size_noted()
    size = 0 if newest is None else newest.size
    return {
        "log": log,
        "size": size,
        "final": final,
        "needed": provenance.witnesses_needed(panel.seats),
        "seats": panel.seats,
        "witnesses": [
            {
                "organization": slug,
                "key": witness.key,
                "cosigned": heads.get(slug, 0),
                "signed": witness.message,
            }
            for slug, witness in panel.witnesses.items()
        ],
    }
