"""Checks and stores witnesses' keys and cosignatures, and offers checkpoints to cosign.

Cosignatures and the moment from which a checkpoint is final are records of their own: an event for
each would grow the log, which would ask for the next cosignature.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, OuterRef, Subquery
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, schema_context

from apps.common.actor import Actor
from apps.common.requests import tenant_connection
from apps.provenance import keys
from apps.provenance.errors import ClockDiffers
from apps.provenance.models import Checkpoint, Cosignature, FinalCheckpoint, Witness
from apps.provenance.nodes import compute
from apps.provenance.services import consortium_event_record, current_origin
from apps.provenance.tags import Tag
from federated.errors import Forbidden, InvalidInput, NotFound
from federated.provenance import merkle
from federated.provenance.checkpoint import parse_checkpoint, signed_only_by, split_note
from federated.provenance.cosignature import CosignerKey, Request, cosignature_of, witness_name
from federated.wire.base import Signed
from federated.wire.witness import CosignOffer, WitnessedHead, WitnessKey

CLOCK_SKEW = 600
"""Seconds that a witness's clock may differ from this one."""
COSIGN_PAUSE = timedelta(seconds=5)
FINAL_LOCK = 0x77697473


@dataclass(frozen=True)
class Panel:
    """The witnesses of a log: the number of seats, and the witnesses with a key by organization."""

    seats: int
    witnesses: Mapping[str, Witness]


def witness_register(*, organization: str, signed: Signed[WitnessKey], actor: Actor) -> bool:
    """Keep an organization's witness key, whose signature the caller has verified.

    True if it is new. Raises Forbidden for another organization's, InvalidInput for another kind of
    key or name.
    """
    body, digest = signed.body, signed.digest()
    consortium = settings.FSC_CONSORTIUM
    if (body.organization, body.consortium) != (organization, consortium):
        raise Forbidden(f"{organization} cannot register the witness of {body.organization}.")
    key = CosignerKey.parse(body.key)
    if key.name != witness_name(consortium, organization):
        raise InvalidInput(f"key: its name must be {witness_name(consortium, organization)}")
    with transaction.atomic(), schema_context(get_public_schema_name()):
        newest = witness_newest(organization)
        if newest is not None and newest.digest == digest:
            return False
        _, created = Witness.objects.get_or_create(
            digest=digest,
            defaults={"organization": organization, "key": body.key, "message": signed.dump()},
        )
        if created:
            consortium_event_record(
                tag=Tag.WITNESS_REGISTERED,
                actor=actor,
                subject=("witness", organization),
                digests={"witness_key": digest},
                data={"key": body.key},
                signature=digest,
            )
        return created


def witness_newest(organization: str) -> Witness | None:
    """An organization's present witness key; call in any schema."""
    with schema_context(get_public_schema_name()):
        return Witness.objects.filter(organization=organization).order_by("-created_at").first()


def cosignature_accept(*, note: str, organization: str, panel: Panel) -> bool:
    """Keep an organization's cosignature on a checkpoint of the current schema's log.

    True if it is new. Raises Forbidden for who is not of the log's panel, NotFound for a checkpoint
    that is not this log's, SignatureInvalid, or ClockDiffers.
    """
    if organization not in panel.witnesses:
        raise Forbidden(f"{organization} has no registered witness for this log.")
    key = CosignerKey.parse(panel.witnesses[organization].key)
    text, _ = split_note(note)
    checkpoint = Checkpoint.objects.filter(size=parse_checkpoint(note).size).first()
    if checkpoint is None or split_note(checkpoint.note)[0] != text:
        raise NotFound("The log has no such checkpoint.")
    cosignature = cosignature_of(note, key)
    if cosignature is None:
        raise InvalidInput(f"The note is not cosigned by {key}.")
    if Cosignature.objects.filter(size=checkpoint.size, organization=organization).exists():
        return False
    if abs(cosignature.time - time.time()) > CLOCK_SKEW:
        raise ClockDiffers(
            f"The cosignature's time is {cosignature.time - time.time():.0f} s from this clock; "
            f"at most {CLOCK_SKEW} are allowed."
        )
    with transaction.atomic():
        _, created = Cosignature.objects.get_or_create(
            size=checkpoint.size,
            organization=organization,
            defaults={
                "checkpoint": checkpoint,
                "key": str(key),
                "time": cosignature.time,
                "line": signed_only_by(note, key).removeprefix(f"{text}\n"),
            },
        )
        _final_note(panel)
    return created


def witnesses_needed(seats: int) -> int:
    """Return how many cosignatures make a checkpoint final: the configured, and more than half.

    Two sets of more than half share a witness, so that two forks cannot both be final unless one
    witness signs both.
    """
    return max(int(settings.FSC_CONFIG.log.witnesses), seats // 2 + 1)


def final_size(sizes: list[int], needed: int) -> int:
    """The size that `needed` witnesses have cosigned or gone beyond; 0 if there is none.

    A witness that cosigned a larger head has checked that it extends what it cosigned before, and
    the consistency proofs between checkpoints are the log's own.
    """
    return sorted(sizes, reverse=True)[needed - 1] if len(sizes) >= needed else 0


def _final_note(panel: Panel) -> None:
    """Note a newly final checkpoint: of concurrent cosigners the last one sees all."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s))",
            [FINAL_LOCK, tenant_connection().schema_name],
        )
    before = final_size_noted()
    needed = witnesses_needed(panel.seats)
    size = final_size(list(cosigned_sizes(panel, beyond=before).values()), needed)
    if size > before:
        FinalCheckpoint.objects.create(
            checkpoint=Checkpoint.objects.get(size=size),
            size=size,
            needed=needed,
            seats=panel.seats,
        )


def final_size_noted() -> int:
    """Up to which size the current schema's log is final."""
    return FinalCheckpoint.objects.aggregate(size=Max("size"))["size"] or 0


def cosigned_sizes(panel: Panel, *, beyond: int) -> dict[str, int]:
    """The largest checkpoint over a size that each witness cosigned under its present key."""
    rows = Cosignature.objects.filter(size__gt=beyond, organization__in=panel.witnesses).order_by()
    newest = rows.values_list("organization", "key").annotate(newest=Max("size"))
    return {slug: size for slug, key, size in newest if panel.witnesses[slug].key == key}


def checkpoint_to_cosign(organization: str) -> int | None:
    """The size of the checkpoint that a witness of the current log is to be asked for, if any.

    It is the newest, unless the witness cosigned one a moment ago: while a log grows all the time,
    witnesses follow at their own pace.
    """
    size = Checkpoint.objects.aggregate(size=Max("size"))["size"]
    if size is None:
        return None
    mine = Cosignature.objects.filter(organization=organization).order_by("-size").first()
    if mine is not None:
        resting = timezone.now() - mine.created_at < COSIGN_PAUSE
        if mine.size == size or resting:
            return None
    return int(size)


def cosign_offer(
    *, old: int, organization: str, registered: str | None, panel: Panel
) -> CosignOffer:
    """The current log's newest checkpoint for a witness whose last head has size `old`.

    Raises NotFound while there is no checkpoint. A witness that is ahead of this log is shown what
    the log has: it will know what that means.
    """
    newest = Checkpoint.objects.order_by("-size").first()
    if newest is None:
        raise NotFound("The log has no checkpoint yet.")
    start = min(old, newest.size)
    heads = _other_heads(organization, panel)
    sizes = {start, *(size for size, _, _ in heads if size <= newest.size)}

    def proofs(nodes: merkle.Nodes) -> dict[int, list[bytes]]:
        return {size: merkle.consistency_proof(nodes, size, newest.size) for size in sizes}

    paths = compute(proofs)
    return CosignOffer(
        registered=registered,
        verifier_key=str(keys.verifier_key(current_origin())),
        request=str(Request(start, tuple(paths[start]), newest.note)),
        others=tuple(
            WitnessedHead(
                witness=witness.signed,
                note=note,
                proof=tuple(item.hex() for item in paths.get(size, [])),
            )
            for size, note, witness in heads
        ),
    )


def _other_heads(organization: str, panel: Panel) -> list[tuple[int, str, Witness]]:
    """The newest note of each other witness with its cosignature: (size, note, witness)."""
    others = {slug: witness for slug, witness in panel.witnesses.items() if slug != organization}
    of_one = Cosignature.objects.filter(
        organization=OuterRef("organization"), key=OuterRef("key")
    ).order_by("-size")
    newest = Witness.objects.filter(pk__in=[witness.pk for witness in others.values()]).annotate(
        newest=Subquery(of_one.values("pk")[:1])
    )
    rows = Cosignature.objects.select_related("checkpoint").filter(
        pk__in=[pk for pk in newest.values_list("newest", flat=True) if pk is not None]
    )
    return [(row.size, row.checkpoint.note + row.line, others[row.organization]) for row in rows]


def cosignature_lines(sizes: Sequence[int]) -> dict[int, str]:
    """Return each witness's newest cosignature on these checkpoints, by the checkpoint's size.

    A witness stands for all that its newest head extends, so its earlier ones would add nothing.
    """
    newest = (
        Cosignature.objects.filter(size__in=sizes)
        .order_by("organization", "-size")
        .distinct("organization")
    )
    lines: dict[int, str] = {}
    for row in newest:
        lines[row.size] = lines.get(row.size, "") + row.line
    return lines


def note_cosigned(checkpoint: Checkpoint) -> str:
    """A checkpoint's note with its cosignatures after the log's signature."""
    return checkpoint.note + "".join(row.line for row in checkpoint.cosignatures.all())
