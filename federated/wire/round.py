"""Messages of one attempt at a round."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from federated.wire.base import Bytes, Digest, Identifier, Message, Signed, Slug
from federated.wire.job import Approval, Cost, JobSpec

Count = Annotated[int, Field(ge=1)]


class RoundContext(Message):
    """The context that everything signed, proven or masked in an attempt is bound to.

    ``checkpoint`` is the digest of the consortium log's last checkpoint when the attempt opened,
    so that a transcript cannot predate the log it claims to follow. ``minimum_cohort``
    is the smallest cohort of this attempt where that is more than the spec's, and else not written:
    noise shares are as small as it allows.
    """

    TAG: ClassVar[str] = "round-context"

    job_id: Identifier
    spec: Digest
    round: Count
    attempt: Count
    model: Digest
    key_epoch: Digest
    checkpoint: Digest
    minimum_cohort: Annotated[int, Field(ge=4)] = 0

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if not self.minimum_cohort:
            del written["minimum_cohort"]
        return written

    @property
    def subject(self) -> str:
        """The job's identifier; contexts of every kind have one."""
        return self.job_id

    @property
    def number(self) -> int:
        """The release's number; contexts of every kind have one."""
        return self.round

    def minimum(self, spec: JobSpec) -> int:
        """The least contributions that this attempt may sum."""
        return self.minimum_cohort or spec.minimum_cohort


class Contribution(Message):
    """One organization's encrypted, bounded integer vector and its proof of plaintext knowledge.

    ``masked`` is the SHA-256 of the masked vector's bytes, which travel next to the message; None
    where the job packs vectors into the ciphertexts.
    """

    TAG: ClassVar[str] = "contribution"

    context: Digest
    organization: Slug
    ciphertexts: Annotated[tuple[Bytes, ...], Field(min_length=1, max_length=65_536)]
    proof: Bytes
    masked: Digest | None = None


class ExpiredContribution(Message):
    """The digests that stay of a contribution after its job's retention.

    ``envelope`` is its envelope's digest, which the cohort names; ``ciphertexts`` how many it had;
    ``proof`` the SHA-256 of its proof's bytes; ``masked`` as in the contribution.
    """

    organization: Slug
    envelope: Digest
    ciphertexts: Count
    proof: Digest
    masked: Digest | None = None


class Cohort(Message):
    """The contributions that a closed attempt sums: envelope digests by organization."""

    TAG: ClassVar[str] = "cohort"

    context: Digest
    members: Annotated[dict[Slug, Digest], Field(min_length=1)]


class ChargeReceipt(Message):
    """A site's word that its own ledger committed this attempt's charge, before any decryption."""

    TAG: ClassVar[str] = "charge-receipt"

    context: Digest
    cohort: Digest
    organization: Slug
    cost: Cost


class DecryptionShare(Message):
    """A trustee's partial decryptions of the cohort's product and their equality proof."""

    TAG: ClassVar[str] = "decryption-share"

    context: Digest
    cohort: Digest
    organization: Slug
    index: Count
    partials: Annotated[tuple[Bytes, ...], Field(min_length=1, max_length=65_536)]
    proof: Bytes


class Reason(StrEnum):
    """The reasons for which a site refuses to charge or a trustee refuses to decrypt."""

    SPEC_CHANGED = "spec_changed"
    APPROVAL_MISSING = "approval_missing"
    KEY_UNKNOWN = "key_unknown"
    CONTEXT_MIXED = "context_mixed"
    COHORT_BELOW_MINIMUM = "cohort_below_minimum"
    COHORT_ALREADY_SERVED = "cohort_already_served"
    ATTEMPT_SUPERSEDED = "attempt_superseded"
    MEMBER_UNKNOWN = "member_unknown"
    MEMBER_REPEATED = "member_repeated"
    SIGNATURE_INVALID = "signature_invalid"
    PROOF_INVALID = "proof_invalid"
    OWN_CONTRIBUTION_CHANGED = "own_contribution_changed"
    CHARGE_MISSING = "charge_missing"
    CHARGE_MISMATCH = "charge_mismatch"
    BUDGET_EXCEEDED = "budget_exceeded"
    JOB_UNKNOWN = "job_unknown"
    CONTRIBUTION_EXPIRED = "contribution_expired"
    CAMPAIGN_UNKNOWN = "campaign_unknown"
    SUBMISSION_EXPIRED = "submission_expired"
    OWN_SUBMISSION_CHANGED = "own_submission_changed"
    NOISE_MISSING = "noise_missing"
    NOISE_REPEATED = "noise_repeated"
    NOISE_CHANGED = "noise_changed"


class Refusal(Message):
    """A signed refusal of one decryption request, stored as evidence."""

    TAG: ClassVar[str] = "refusal"

    context: Digest
    cohort: Digest
    organization: Slug
    reason: Reason
    detail: Annotated[str, Field(max_length=500)]


class Release(Message):
    """The decoded sum of a cohort (grid units) and the server state that follows from it.

    ``sum`` stands for the values of a masked job: the SHA-256 of the sum as little-endian int64.
    """

    TAG: ClassVar[str] = "release"

    context: Digest
    cohort: Digest
    values: tuple[int, ...]
    state: Digest
    sum: Digest | None = None

    @model_validator(mode="after")
    def _once(self) -> Release:
        if bool(self.values) == (self.sum is not None):
            raise ValueError("a release holds either the values or the digest of their sum")
        return self


class Verdict(Message):
    """A site's answer after it recombined the shares and recomputed the server step."""

    TAG: ClassVar[str] = "verdict"

    context: Digest
    cohort: Digest
    release: Digest
    organization: Slug
    agrees: bool
    detail: Annotated[str, Field(max_length=500)] = ""


class ClosedAttempt(Protocol):
    """What the transcript of any kind of attempt has. Nothing in it is secret."""

    @property
    def spec(self) -> Any: ...
    @property
    def context(self) -> Any: ...
    @property
    def approvals(self) -> tuple[Signed[Any], ...]: ...
    @property
    def receipts(self) -> tuple[Signed[ChargeReceipt], ...]: ...
    @property
    def shares(self) -> tuple[Signed[DecryptionShare], ...]: ...
    @property
    def release(self) -> Any: ...
    @property
    def agreed(self) -> Any:
        """The body of the spec, signed or not."""

    @property
    def given(self) -> tuple[Signed[Any], ...]:
        """The contributions, by whatever name."""

    @property
    def left(self) -> tuple[Any, ...]:
        """What retention has left of them, each with ``organization`` and ``envelope``."""

    def cohort(self) -> Any:
        """The cohort that the contributions make."""

    def decrypted(self) -> Any:
        """What is decrypted: the cohort, with the trustees' noise where it has some."""


def digests_of(signed: Iterable[Signed[Any]], left: Iterable[Any]) -> dict[str, str]:
    """Envelopes' digests by organization, of messages and of what retention left of others.

    A second message of one organization makes a digest of its own, over both, so that a repetition
    never hides behind an honest set's digest.
    """
    rows = [(each.body.organization, each.digest()) for each in signed]
    rows += [(each.organization, each.envelope) for each in left]
    digests: dict[str, str] = {}
    for name, digest in rows:
        before = digests.get(name)
        both = f"{before}{digest}".encode()
        digests[name] = digest if before is None else hashlib.sha256(both).hexdigest()
    return digests


class Transcript(Message):
    """A closed attempt, for its participants to check: nothing in it is secret."""

    TAG: ClassVar[str] = "transcript"

    spec: Signed[JobSpec]
    approvals: tuple[Signed[Approval], ...]
    context: RoundContext
    contributions: tuple[Signed[Contribution], ...]
    expired: tuple[ExpiredContribution, ...] = ()
    receipts: tuple[Signed[ChargeReceipt], ...] = ()
    shares: tuple[Signed[DecryptionShare], ...] = ()
    release: Release | None = None

    @model_validator(mode="after")
    def _present(self) -> Transcript:
        if bool(self.contributions) == bool(self.expired):
            raise ValueError("contributions: none, or some of them expired and others not")
        return self

    @property
    def agreed(self) -> JobSpec:
        return self.spec.body

    @property
    def given(self) -> tuple[Signed[Contribution], ...]:
        return self.contributions

    @property
    def left(self) -> tuple[ExpiredContribution, ...]:
        return self.expired

    def cohort(self) -> Cohort:
        """The cohort that these contributions make."""
        members = digests_of(self.contributions, self.expired)
        return Cohort(context=self.context.digest(), members=members)

    def decrypted(self) -> Cohort:
        """The cohort: its contributions carry their noise."""
        return self.cohort()
