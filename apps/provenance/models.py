"""Tables of the logs: one per organization, and the consortium's in ``public``.

Events, leaves, nodes and checkpoints are append-only: triggers refuse every other change, and the
application's roles hold no more than SELECT and INSERT on them (`append_only`).
"""

from django.db import models

from apps.common.models import Model
from apps.common.scopes import RowLevel, Scope
from federated.provenance.checkpoint import parse_checkpoint
from federated.wire.base import Signed
from federated.wire.witness import WitnessKey


class Event(Model):
    """One entry of this schema's log. `canonical` is the truth; the columns serve queries."""

    scope = Scope.BOTH
    append_only = True

    tag = models.CharField(max_length=100)
    at = models.DateTimeField()
    actor = models.JSONField()
    subject_kind = models.CharField(max_length=200)
    subject_id = models.CharField(max_length=200)
    canonical = models.BinaryField()
    digest = models.CharField(max_length=64)

    class Meta:
        indexes = [
            models.Index(fields=["created_at", "id"], name="provenance_event_recorded"),
            models.Index(fields=["subject_kind", "subject_id"], name="provenance_event_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.tag} {self.id}"


class Leaf(Model):
    """The place that the sequencer gave an event."""

    scope = Scope.BOTH
    append_only = True

    event = models.OneToOneField(Event, on_delete=models.PROTECT, related_name="leaf")
    log_index = models.BigIntegerField(unique=True)
    hash = models.BinaryField()

    def __str__(self) -> str:
        return f"leaf {self.log_index}"


class Node(Model):
    """A complete subtree: ``level`` l and ``index`` i cover leaves [i * 2**l, (i + 1) * 2**l)."""

    scope = Scope.BOTH
    append_only = True

    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["level", "index"], name="provenance_node_place")
        ]

    def __str__(self) -> str:
        return f"node {self.level}/{self.index}"


class Checkpoint(Model):
    """A signed tree head (C2SP note) of this schema's log."""

    scope = Scope.BOTH
    append_only = True

    size = models.BigIntegerField(unique=True)
    root = models.BinaryField()
    note = models.TextField()

    def __str__(self) -> str:
        return f"checkpoint {self.size}"


class Witness(Model):
    """A site's witness key, bound to its signing key: the newest of an organization counts."""

    class RowLevel(RowLevel):
        # Whoever checks a cosignature needs the keys; only the coordinator registers one.
        predicate = "true"

    scope = Scope.SHARED
    append_only = True

    organization = models.CharField(max_length=41)
    key = models.CharField(max_length=400, help_text="C2SP vkey of type 0x04")
    message = models.JSONField()
    digest = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["organization", "-created_at"]

    def __str__(self) -> str:
        return f"witness of {self.organization}"

    @property
    def signed(self) -> Signed[WitnessKey]:
        return Signed[WitnessKey].parse(self.message)


class Cosignature(Model):
    """A witness's signature line on a checkpoint of this schema's log."""

    scope = Scope.BOTH
    append_only = True

    checkpoint = models.ForeignKey(Checkpoint, models.PROTECT, related_name="cosignatures")
    size = models.BigIntegerField(help_text="the checkpoint's")
    organization = models.CharField(max_length=41)
    key = models.CharField(max_length=400, help_text="C2SP vkey of type 0x04")
    time = models.BigIntegerField(help_text="the witness's clock, POSIX seconds")
    line = models.TextField()

    class Meta:
        ordering = ["organization"]
        constraints = [
            models.UniqueConstraint(
                fields=["size", "organization"], name="provenance_cosignature_one_each"
            )
        ]
        indexes = [
            models.Index(fields=["organization", "-size"], name="provenance_cosignature_newest")
        ]

    def __str__(self) -> str:
        return f"cosignature by {self.organization}"


class FinalCheckpoint(Model):
    """The moment from which enough witnesses had cosigned this checkpoint or a later one."""

    scope = Scope.BOTH
    append_only = True

    checkpoint = models.OneToOneField(Checkpoint, models.PROTECT, related_name="final")
    size = models.BigIntegerField(unique=True, help_text="the checkpoint's")
    needed = models.PositiveIntegerField()
    seats = models.PositiveIntegerField()

    def __str__(self) -> str:
        return f"final: {self.size}"


class Registry(Model):
    """The address of the AnchorRegistry contract on a chain."""

    scope = Scope.SHARED

    chain_id = models.BigIntegerField()
    genesis_hash = models.CharField(max_length=66)
    address = models.CharField(max_length=42)
    anchorer = models.CharField(max_length=42)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["chain_id", "genesis_hash"], name="provenance_registry_chain"
            )
        ]

    def __str__(self) -> str:
        return f"{self.address} on chain {self.chain_id}"


class Anchor(Model):
    """A root over every log's newest checkpoint, on its way to the chain or there."""

    scope = Scope.SHARED

    class State(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        CONFIRMED = "confirmed"

    origin = models.CharField(max_length=200)
    size = models.BigIntegerField()
    """Events under the root, over all logs: it only grows."""
    root = models.BinaryField()
    notes = models.JSONField()
    """The checkpoint notes under the root, ordered by origin."""
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    confirmations = models.PositiveSmallIntegerField(default=0)
    """Blocks that were seen on top of the transaction's, its own counted; as of the last look."""
    last_error = models.TextField(blank=True, default="")
    failing_since = models.DateTimeField(null=True, blank=True)
    """When the first of the attempts that have failed in a row did."""
    not_before = models.DateTimeField(null=True, blank=True)
    """No worker tries again before this moment: backoff, and the claim of the one that tries."""
    chain_id = models.BigIntegerField(null=True, blank=True)
    contract = models.CharField(max_length=42, blank=True, default="")
    tx_hash = models.CharField(max_length=66, blank=True, default="")
    block_number = models.BigIntegerField(null=True, blank=True)
    block_hash = models.CharField(max_length=66, blank=True, default="")
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["origin", "size"], name="provenance_anchor_size"),
            models.UniqueConstraint(
                fields=["origin"],
                condition=~models.Q(state="confirmed"),
                name="provenance_anchor_one_open",
            ),
        ]

    def __str__(self) -> str:
        return f"anchor {self.size} ({self.state})"

    def size_of(self, origin: str) -> int | None:
        """The size of log `origin` under this root; None if the root does not cover it."""
        for note in self.notes:
            head = parse_checkpoint(note)
            if head.origin == origin:
                return head.size
        return None
