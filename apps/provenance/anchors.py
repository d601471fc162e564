"""Anchoring: from every log's newest checkpoint to one root on the chain.

At most one anchor is open. Its transaction's hash is stored before it is sent, and before anything
is sent the contract is asked what it holds, so a restart at any point neither loses nor repeats an
anchor. A chain that does not answer only delays it.
"""

import logging
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django_tenants.utils import get_public_schema_name, get_tenant_model, schema_context

from apps.provenance import keys
from apps.provenance.errors import ChainRefused, ChainUnavailable
from apps.provenance.ethereum import CONFIRMATIONS, Gateway, Placed
from apps.provenance.models import Anchor, Checkpoint, Registry
from federated.errors import DomainError
from federated.provenance import events, merkle
from federated.provenance.checkpoint import parse_checkpoint
from federated.provenance.verify import origin_hash

logger = logging.getLogger(__name__)

CLAIM = timedelta(seconds=60)
BACKOFF_SECONDS = (2, 5, 10, 30, 60)


def log_schemas() -> list[str]:
    """The schemas that hold a log: the consortium's first."""
    public = get_public_schema_name()
    with schema_context(public):
        # An organization that is still being made has no tables yet.
        tenants = get_tenant_model().objects.exclude(schema_name=public).exclude(state="preparing")
        return [public, *tenants.order_by("schema_name").values_list("schema_name", flat=True)]


def anchor_open() -> Anchor | None:
    """The anchor to work on: the open one, or a new one if any log has a newer checkpoint."""
    with schema_context(get_public_schema_name()):
        origin = events.log_origin(settings.FSC_CONSORTIUM)
        mine = Anchor.objects.filter(origin=origin)
        waiting = mine.exclude(state=Anchor.State.CONFIRMED).first()
        if waiting is not None:
            return waiting
        notes, size = _newest_notes()
        last = mine.order_by("-size").first()
        if size == 0 or (last is not None and last.size >= size):
            return None
        try:
            with transaction.atomic():
                return Anchor.objects.create(
                    origin=origin, size=size, root=_root(notes), notes=notes
                )
        except IntegrityError:
            # Another worker opened it first.
            return mine.exclude(state=Anchor.State.CONFIRMED).first()


def anchor_submit_pending() -> Anchor | None:
    """Bring the open anchor onto the chain, if there is one and its time has come.

    Returns the anchor as it then is: confirmed, or waiting with `last_error` and a later
    `not_before`. Returns None when there is nothing to do or no chain is configured.
    """
    url = settings.FSC_CONFIG.chain_rpc_url
    if url is None:
        return None
    with schema_context(get_public_schema_name()):
        anchor = anchor_open()
        if anchor is None or not _claim(anchor):
            return None
        anchor.refresh_from_db()
        try:
            gateway = Gateway(url, keys.secret_file(_anchorer_key_path()))
            _recheck(gateway, anchor.origin)
            _submit(gateway, anchor)
        except DomainError as exc:
            pause = BACKOFF_SECONDS[min(anchor.attempts, len(BACKOFF_SECONDS)) - 1]
            logger.warning("anchor %d waits: %s", anchor.size, exc.message)
            now = timezone.now()
            Anchor.objects.filter(pk=anchor.pk).exclude(state=Anchor.State.CONFIRMED).update(
                last_error=exc.message[:1000],
                failing_since=Coalesce("failing_since", Value(now)),
                not_before=now + timedelta(seconds=pause),
            )
        anchor.refresh_from_db()
        return anchor


def _recheck(gateway: Gateway, origin: str) -> None:
    """Follow the last confirmed anchor where a fork of the chain moved it.

    One that a fork removed for good needs nothing: the anchor that is about to be sent covers it.
    """
    last = Anchor.objects.filter(origin=origin, state=Anchor.State.CONFIRMED).last()
    if last is None or last.chain_id != gateway.chain_id or last.block_number is None:
        return
    if gateway.is_canonical(last.block_number, last.block_hash):
        return
    if not gateway.registry_exists(last.contract):
        return
    if gateway.root_at(last.contract, origin_hash(origin), last.size) == bytes(last.root):
        placed = gateway.find(last.contract, origin_hash(origin), last.size)
        Anchor.objects.filter(pk=last.pk).update(**asdict(placed))
        return
    logger.warning("a fork of the chain dropped the anchor of size %d", last.size)


def _submit(gateway: Gateway, anchor: Anchor) -> None:
    address = _registry(gateway)
    key = origin_hash(anchor.origin)
    held = gateway.root_at(address, key, anchor.size)
    latest = gateway.latest(address, key)
    if held != bytes(anchor.root) and latest >= anchor.size:
        _reroot(anchor, latest)
        held = None
    if held is not None:
        anchor.tx_hash = gateway.find(address, key, anchor.size).tx_hash
    elif not (anchor.tx_hash and gateway.is_waiting(anchor.tx_hash)):
        anchor.tx_hash, raw = gateway.anchor_sign(address, key, anchor.size, bytes(anchor.root))
        Anchor.objects.filter(pk=anchor.pk).update(
            state=Anchor.State.SENT,
            tx_hash=anchor.tx_hash,
            block_number=None,
            block_hash="",
            confirmations=0,
        )
        gateway.send(raw)
    placed = gateway.wait(anchor.tx_hash, seen=partial(_seen, anchor, gateway.chain_id))
    _confirm(gateway, anchor, address, **asdict(placed))


def _seen(anchor: Anchor, chain_id: int, placed: Placed, confirmations: int) -> None:
    """Updates what pages show of an anchor that waits for its confirmations."""
    Anchor.objects.filter(pk=anchor.pk).exclude(state=Anchor.State.CONFIRMED).update(
        chain_id=chain_id, confirmations=confirmations, **asdict(placed)
    )


def _confirm(gateway: Gateway, anchor: Anchor, address: str, **placed: str | int) -> None:
    Anchor.objects.filter(pk=anchor.pk).exclude(state=Anchor.State.CONFIRMED).update(
        state=Anchor.State.CONFIRMED,
        chain_id=gateway.chain_id,
        contract=address,
        confirmed_at=timezone.now(),
        confirmations=CONFIRMATIONS,
        last_error="",
        failing_since=None,
        not_before=None,
        **placed,
    )


def _reroot(anchor: Anchor, latest: int) -> None:
    """Move an open anchor to the logs' newest checkpoints: the chain is past its size.

    That happens after the database was restored from a backup. Raises `ChainRefused` while the logs
    are still shorter than what the chain has seen of them.
    """
    notes, size = _newest_notes()
    if size <= latest:
        raise ChainRefused(
            f"the chain holds an anchor over {latest} events, the logs have {size}: "
            "was the database restored from an older copy?"
        )
    anchor.size, anchor.root, anchor.notes, anchor.tx_hash = size, _root(notes), notes, ""
    anchor.state, anchor.confirmations = Anchor.State.PENDING, 0
    anchor.block_number, anchor.block_hash = None, ""
    fields = ["size", "root", "notes", "tx_hash", "state", "confirmations"]
    anchor.save(update_fields=[*fields, "block_number", "block_hash"])


def _registry(gateway: Gateway) -> str:
    """The contract's address on this chain: remembered, else deployed."""
    chain_id, genesis_hash = gateway.chain_id, gateway.genesis_hash
    row = Registry.objects.filter(chain_id=chain_id, genesis_hash=genesis_hash).first()
    if row is not None and gateway.registry_exists(row.address):
        return row.address
    chosen = settings.FSC_CONFIG.blockchain
    address = chosen.contract
    if address is None:
        address = gateway.registry_deploy(chosen.members, chosen.quorum)
    elif not gateway.registry_exists(address):
        raise ChainRefused(f"blockchain.contract: {address} is not an AnchorRegistry of this chain")
    found = {"address": address, "anchorer": gateway.account.address}
    Registry.objects.update_or_create(chain_id=chain_id, genesis_hash=genesis_hash, defaults=found)
    return address


def _claim(anchor: Anchor) -> bool:
    now = timezone.now()
    due = Q(not_before=None) | Q(not_before__lte=now)
    waiting = Anchor.objects.filter(due, pk=anchor.pk).exclude(state=Anchor.State.CONFIRMED)
    return waiting.update(not_before=now + CLAIM, attempts=F("attempts") + 1) == 1


def _newest_notes() -> tuple[list[str], int]:
    """Every log's newest checkpoint, ordered by origin, and the events under them."""
    notes = []
    for schema in log_schemas():
        with schema_context(schema):
            newest = Checkpoint.objects.order_by("-size").first()
        if newest is not None:
            notes.append(newest.note)
    heads = sorted((parse_checkpoint(note).origin, note) for note in notes)
    return [note for _, note in heads], sum(parse_checkpoint(note).size for note in notes)


def _root(notes: list[str]) -> bytes:
    return merkle.root_of(note.encode() for note in notes)


def _anchorer_key_path() -> Path:
    """The embedded chain makes the anchorer's key; with another chain it is a secret of ours."""
    config = settings.FSC_CONFIG
    if config.blockchain.rpc_url is None:
        path: Path = config.chain_dir / "anchorer.key"
        if not path.exists():
            raise ChainUnavailable("the embedded chain has not made the anchorer's key yet")
        return path
    return Path(config.secret_path("anchorer.key"))
