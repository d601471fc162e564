"""Messages between a witness and the portal about the logs' checkpoints.

Notes and requests are texts in the C2SP formats (`federated.provenance.cosignature`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from federated.wire.base import Digest, Message, Name, Signed, Slug

LogName = Literal["consortium", "own"]
"""The two logs that a site sees: the consortium's, and its own organization's."""
Note = Annotated[str, Field(max_length=64 * 1024)]


class WitnessKey(Message):
    """A site binds its Ed25519 witness key (a C2SP vkey of type 0x04) to its signing key."""

    TAG: ClassVar[str] = "witness-key"

    consortium: Name
    organization: Slug
    key: Annotated[str, Field(max_length=400)]


class WitnessedHead(Message):
    """The newest note that another witness cosigned, and its proof to the offered checkpoint."""

    witness: Signed[WitnessKey]
    note: Note
    proof: tuple[Digest, ...]


class CosignOffer(Message):
    """A log's newest checkpoint for a witness, and what the others cosigned before.

    ``request`` is the body of C2SP tlog-witness's add-checkpoint. The proofs of ``others`` lead
    from their sizes to the request's; a head larger than that comes without a proof.
    ``registered`` is the digest of the witness key that the caller's present signing key bound.
    """

    TAG: ClassVar[str] = "cosign-offer"

    registered: Digest | None
    verifier_key: Annotated[str, Field(max_length=400)]
    request: Annotated[str, Field(max_length=128 * 1024)]
    others: tuple[WitnessedHead, ...]


class Cosigned(Message):
    """A checkpoint's note with the witness's own cosignature among its signatures."""

    TAG: ClassVar[str] = "cosigned"

    note: Note
