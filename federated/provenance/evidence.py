"""Evidence against a log: two signed heads that contradict each other.

`evidence_check` needs the log's verifier key alone. What it then concludes depends on the kind:

- ``fork``: two roots for one size. Nothing but the log's key can have made both: it proves itself.
- ``inconsistent``: the larger head came with a proof that does not lead from the smaller one. The
  proof is in the evidence. A log that is honest after all can still show one that does.
- ``shrunk``: a smaller head was shown as the newest after a larger one. Both are signed; that it
  came later is the witness's word.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from federated.errors import InvalidInput, ProofInvalid
from federated.provenance import merkle
from federated.provenance.checkpoint import Checkpoint, VerifierKey, verify_checkpoint
from federated.wire.base import Digest, Message

Kind = Literal["fork", "inconsistent", "shrunk"]
CONCLUSIONS: dict[Kind, str] = {
    "fork": "the log signed two different trees of one size",
    "inconsistent": "the log signed a tree and gave a proof that does not lead to it from the "
    "smaller one; ask it for one that does",
    "shrunk": "the log signed the smaller tree and the larger one; that it showed the smaller as "
    "its newest afterwards is the witness's word",
}


class Evidence(Message):
    """Two signed heads of one log, and how a witness came by them."""

    TAG: ClassVar[str] = "evidence"

    kind: Kind
    origin: Annotated[str, Field(max_length=200)]
    held: Annotated[str, Field(max_length=64 * 1024)]
    """The note that the witness had verified before, or that another witness cosigned."""
    shown: Annotated[str, Field(max_length=64 * 1024)]
    """The note that contradicts it."""
    proof: tuple[Digest, ...] = ()
    """What the log gave as the consistency proof from the smaller to the larger head."""
    seen_at: str
    """The witness's clock, RFC 3339."""
    detail: Annotated[str, Field(max_length=1000)]


def evidence_kind(
    held: Checkpoint, shown: Checkpoint, proof: tuple[bytes, ...] | None
) -> Kind | None:
    """Return how two heads of one log contradict each other; None if they do not.

    `proof` is to lead from the smaller to the larger; None where none was given, which contradicts
    nothing by itself.
    """
    if held.size == shown.size:
        return None if held.root == shown.root else "fork"
    small, large = sorted((held, shown), key=lambda head: head.size)
    if proof is None:
        return None
    try:
        merkle.verify_consistency(small.size, large.size, small.root, large.root, proof)
    except ProofInvalid:
        return "inconsistent"
    return None


def evidence_check(evidence: Evidence, key: VerifierKey) -> str:
    """Returns what the evidence proves against the log of `key`.

    Raises `InvalidInput` or `SignatureInvalid` where it proves nothing.
    """
    held, shown = verify_checkpoint(evidence.held, key), verify_checkpoint(evidence.shown, key)
    if evidence.kind == "shrunk":
        if shown.size >= held.size:
            raise InvalidInput("the head that was shown later is not smaller: nothing shrank")
        return CONCLUSIONS["shrunk"]
    proof = tuple(bytes.fromhex(item) for item in evidence.proof)
    if evidence_kind(held, shown, proof) != evidence.kind:
        raise InvalidInput(f"the two heads do not contradict each other as {evidence.kind}")
    return CONCLUSIONS[evidence.kind]
