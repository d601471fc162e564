"""A toy kind of joint computation: sites count hands, nobody sees a single one.

Its messages, its agreement and its ``Kind`` are all that a new kind writes for the protocol, and
one line in ``KINDS``; ``*_make`` are what a site makes. test_toy_kind.py plays it without I/O,
tests/attempts in the portal.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from federated.crypto import proofs
from federated.errors import InvalidInput
from federated.protocol.agreement import Agreement
from federated.protocol.identity import SiteIdentity
from federated.protocol.kinds.base import Kind
from federated.protocol.release import release_check
from federated.protocol.transcript import transcript_check
from federated.wire.base import (
    Bytes,
    Digest,
    Identifier,
    Message,
    Signed,
    Slug,
    decode_bytes,
    encode_bytes,
)
from federated.wire.job import Cost, Participant
from federated.wire.round import ChargeReceipt, Cohort, DecryptionShare, Reason, Verdict, digests_of
from federated.wire.site import Work

# Its messages.


class ShowSpec(Message):
    TAG: ClassVar[str] = "toy-spec"
    show_id: Identifier
    consortium: str
    caller: Slug
    participants: tuple[Participant, ...]
    key_epoch: Digest
    minimum_cohort: int

    def participant(self, organization: str) -> Participant | None:
        return next((p for p in self.participants if p.organization == organization), None)


class ShowApproval(Message):
    TAG: ClassVar[str] = "toy-approval"
    spec: Digest
    organization: Slug
    cost: Cost


class ShowDecline(Message):
    TAG: ClassVar[str] = "toy-decline"
    show_id: Identifier
    spec: Digest
    organization: Slug
    reason: str


class ShowContext(Message):
    TAG: ClassVar[str] = "toy-context"
    subject: Identifier
    spec: Digest
    number: int
    attempt: int
    key_epoch: Digest


class Hands(Message):
    TAG: ClassVar[str] = "toy-hands"
    context: Digest
    organization: Slug
    ciphertext: Bytes
    proof: Bytes


class HandsLeft(Message):
    """What stays of hands whose retention is over."""

    TAG: ClassVar[str] = "toy-hands-left"
    organization: Slug
    envelope: Digest


class ShowRelease(Message):
    TAG: ClassVar[str] = "toy-release"
    context: Digest
    cohort: Digest
    hands: Annotated[int, Field(ge=0)]


class ShowTranscript(Message):
    TAG: ClassVar[str] = "toy-transcript"
    spec: ShowSpec
    approvals: tuple[Signed[ShowApproval], ...]
    context: ShowContext
    given: tuple[Signed[Hands], ...]
    left: tuple[HandsLeft, ...] = ()
    receipts: tuple[Signed[ChargeReceipt], ...] = ()
    shares: tuple[Signed[DecryptionShare], ...] = ()
    release: ShowRelease | None = None

    @property
    def agreed(self) -> ShowSpec:
        return self.spec

    def cohort(self) -> Cohort:
        members = digests_of(self.given, self.left)
        return Cohort(context=self.context.digest(), members=members)

    decrypted = cohort


# Its agreement and its kind.


class ShowAgreement(Agreement[ShowSpec, ShowContext]):
    NOUN, RELEASE, UNKNOWN = "show of hands", "show", Reason.JOB_UNKNOWN
    releases, seconds = 1, 60

    @property
    def id(self) -> str:
        return self.spec.show_id

    @property
    def proposer(self) -> str:
        return self.spec.caller

    @property
    def cost(self) -> Cost:
        return Cost(dataset="hands", unit="organization", rho=0.5)

    def approval(self, organization: str) -> ShowApproval:
        return ShowApproval(spec=self.digest, organization=organization, cost=self.cost)

    def check(self) -> None:
        if self.spec.minimum_cohort < 3:
            raise InvalidInput("minimum_cohort: at least 3 are allowed")


class ShowOfHands(Kind):
    name, contribution, work = "show", "hand", Work.SUBMIT
    spec, agreement = ShowSpec, ShowAgreement
    gone, changed = Reason.CONTRIBUTION_EXPIRED, Reason.OWN_CONTRIBUTION_CHANGED

    def contribution_check(self, signed: Any, *, agreement: Any, context: Any) -> None:
        body, key = signed.body, agreement.key
        agreement.verify(signed)
        proofs.verify(
            key,
            [key.decode_ciphertext(decode_bytes(body.ciphertext))],
            proofs.PlaintextProof.decode(key, decode_bytes(body.proof)),
            context=bytes.fromhex(context.digest()),
            organization=body.organization,
        )

    def cohort(self, *, context: str, members: Any) -> Cohort:
        return Cohort(context=context, members=dict(members))

    def product(self, transcript: Any, *, agreement: Any) -> list[int]:
        key = agreement.key
        given = [decode_bytes(signed.body.ciphertext) for signed in transcript.given]
        return [key.multiply([key.decode_ciphertext(each) for each in given])]

    def release(
        self, transcript: Any, plaintexts: Any, *, agreement: Any, state: Any, total: Any
    ) -> tuple[Any, Any]:
        cohort = transcript.cohort()
        (hands,) = plaintexts
        return ShowRelease(context=cohort.context, cohort=cohort.digest(), hands=hands), None

    def release_compare(self, shown: Any, expected: Any) -> None:
        if shown != expected:
            raise InvalidInput("other hands than the shares combine to")


SHOW = ShowOfHands()


# What a site makes.


def hands_make(
    agreement: ShowAgreement, context: ShowContext, identity: SiteIdentity, count: int
) -> Signed[Hands]:
    key, digest, name = agreement.key, context.digest(), identity.organization
    encryption = key.encrypt(count)
    proof = proofs.prove(
        key, [count], [encryption], context=bytes.fromhex(digest), organization=name
    )
    return identity.sign(
        Hands(
            context=digest,
            organization=name,
            ciphertext=encode_bytes(key.encode_ciphertext(encryption.ciphertext)),
            proof=encode_bytes(proof.encode(key)),
        )
    )


def receipt_make(
    agreement: ShowAgreement, transcript: ShowTranscript, identity: SiteIdentity
) -> Signed[ChargeReceipt]:
    cohort = transcript_check(transcript, agreement=agreement)
    body = ChargeReceipt(
        context=cohort.context,
        cohort=cohort.digest(),
        organization=identity.organization,
        cost=agreement.cost,
    )
    return identity.sign(body)


def verdict_make(
    agreement: ShowAgreement, transcript: ShowTranscript, identity: SiteIdentity, **changes: Any
) -> Signed[Verdict]:
    release_check(transcript, agreement=agreement)
    assert transcript.release is not None
    body = Verdict(
        context=transcript.release.context,
        cohort=transcript.release.cohort,
        release=transcript.release.digest(),
        organization=identity.organization,
        agrees=True,
    )
    return identity.sign(body.model_copy(update=changes))
