"""One object for what every participant of a joint computation agreed to: a spec under a key.

A site makes it from the spec that it approved and the key epoch that it keeps; the coordinator and
an auditor from those that they check. Everything else of the protocol takes it::

    agreement = agreement_of(spec, epoch)
    agreement.context_check(context)        # this spec, this key, a release that is paid for
    body = agreement.verify(signed)         # signed by the key that the spec pins for its sender
    agreement.minimum(context)              # contributions that this attempt must sum at least
    agreement.cost                          # what each member of the cohort is charged
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from federated.aggregation.votes import VoteLayout
from federated.crypto.paillier import PublicKey
from federated.crypto.threshold import VerificationKeys
from federated.errors import InvalidInput
from federated.protocol.identity import verify_signed
from federated.protocol.keys import public_key_of, verification_of
from federated.protocol.refused import Refused
from federated.wire.base import Message, Signed
from federated.wire.job import Cost, Participant
from federated.wire.key import KeyEpoch, Trustee
from federated.wire.round import Reason


class Spec(Protocol):
    """What the specs of all kinds have."""

    @property
    def consortium(self) -> str: ...
    @property
    def key_epoch(self) -> str: ...
    @property
    def participants(self) -> tuple[Participant, ...]: ...
    @property
    def minimum_cohort(self) -> int: ...
    def participant(self, organization: str) -> Participant | None: ...
    def digest(self) -> str: ...
    def canonical(self) -> bytes: ...


class Context(Protocol):
    """What the contexts of all kinds have: whose attempt it is, at what, under which key."""

    @property
    def subject(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def spec(self) -> str: ...
    @property
    def key_epoch(self) -> str: ...
    def digest(self) -> str: ...


S = TypeVar("S", bound=Spec)
C = TypeVar("C", bound=Context)
M = TypeVar("M", bound=Message)


class Agreement(ABC, Generic[S, C]):
    """A spec and the key epoch that it pins. Immutable; nothing here does I/O.

    * The epoch is the one whose digest the spec pins: the constructor refuses another.
    * Only a participant speaks, with the signing key that the spec pins for it: ``verify``.
    * A context names this subject, this very spec, this key and a release that the approvals pay
      for: ``context_check``.
    * An attempt sums at least ``minimum(context)`` contributions, never fewer than the spec's
      smallest cohort.
    * Each member of a cohort is charged ``cost`` for the attempt; an approval reserves
      ``whole_cost``, for ``releases`` attempts. Both follow from spec and key alone.
    * ``threshold`` trustees decrypt. Those serve that take part: ``serving``.

    Raises Refused(key_unknown) for an epoch that the spec does not pin.
    """

    NOUN: ClassVar[str]
    """What people call it: job or campaign."""
    UNKNOWN: ClassVar[Reason]
    """Why a context of another subject is refused."""
    RELEASE: ClassVar[str]
    """What people call one release: round or run."""

    def __init__(self, spec: S, epoch: KeyEpoch) -> None:
        if spec.key_epoch != epoch.digest():
            raise Refused(Reason.KEY_UNKNOWN, f"spec pins key epoch {spec.key_epoch[:16]}")
        self.spec, self.epoch = spec, epoch

    @cached_property
    def digest(self) -> str:
        """The spec's digest, which approvals and contexts bind."""
        return self.spec.digest()

    @cached_property
    def key(self) -> PublicKey:
        return public_key_of(self.epoch)

    @cached_property
    def verification(self) -> VerificationKeys:
        """Raises InvalidInput where the epoch's verification keys are no units or no quorum."""
        return verification_of(self.epoch)

    @property
    def layouts(self) -> tuple[VoteLayout, ...]:
        """The slots that trustees add noise to, a ciphertext each; none where they add none."""
        return ()

    @property
    def threshold(self) -> int:
        return self.epoch.threshold

    @cached_property
    def participants(self) -> tuple[str, ...]:
        """The organizations that may take part, in the spec's order."""
        return tuple(participant.organization for participant in self.spec.participants)

    def participant(self, organization: str) -> Participant | None:
        return self.spec.participant(organization)

    def trustee(self, organization: str) -> Trustee | None:
        return self.epoch.trustee(organization)

    def pinned_otherwise(self) -> str | None:
        """A trustee of whom the spec pins another key than the epoch, if there is one."""
        for each in self.spec.participants:
            trustee = self.trustee(each.organization)
            if trustee is not None and trustee.public_key != each.public_key:
                return each.organization
        return None

    @property
    def pure_epsilon(self) -> float:
        """The pure epsilon of one attempt, where its noise gives any; else 0."""
        return 0.0

    def serving(self, approved: Collection[str]) -> list[str]:
        """The trustees that take part, by index: a site serves only what it approved."""
        return [t.organization for t in self.epoch.trustees if t.organization in approved]

    def verify(self, signed: Signed[M]) -> M:
        """The body, signed by the key that the spec pins for its organization.

        Raises Refused(member_unknown) or SignatureInvalid.
        """
        return self.verify_by(signed, str(getattr(signed.body, "organization", "")))

    def verify_by(self, signed: Signed[M], organization: str) -> M:
        """``verify`` for a message that does not name its sender, as a spec by its proposer."""
        participant = self.spec.participant(organization)
        if participant is None:
            raise Refused(
                Reason.MEMBER_UNKNOWN, f"{organization} takes no part in this {self.NOUN}"
            )
        return verify_signed(signed, participant.public_key)

    def verify_trustee(self, signed: Signed[Any]) -> None:
        """Check that the trustee of its index signed a message.

        Raises InvalidInput or SignatureInvalid.
        """
        body = signed.body
        trustee = self.trustee(body.organization)
        if trustee is None or trustee.index != body.index:
            raise InvalidInput(f"organization: {body.organization} is not trustee {body.index}")
        verify_signed(signed, trustee.public_key)

    @property
    @abstractmethod
    def id(self) -> str:
        """The job's or the campaign's identifier."""

    @property
    @abstractmethod
    def proposer(self) -> str:
        """Whose proposal it is."""

    @property
    def ledger_id(self) -> str:
        """The name under which a site's ledger keeps the reservation."""
        return self.id

    @property
    @abstractmethod
    def cost(self) -> Cost:
        """The charge of one attempt."""

    @cached_property
    def whole_cost(self) -> Cost:
        """The charge of all releases, one attempt each: what a site reserves on approval."""
        return self.cost.model_copy(update={"rho": self.cost.rho * self.releases})

    @property
    @abstractmethod
    def releases(self) -> int:
        """How many releases an approval pays for: the job's rounds, the campaign's runs."""

    @property
    @abstractmethod
    def seconds(self) -> int:
        """How long each phase of an attempt may take."""

    def minimum(self, context: C) -> int:
        """The least contributions that the attempt of this context may sum."""
        return self.spec.minimum_cohort

    @abstractmethod
    def approval(self, organization: str) -> Message:
        """What that organization countersigns."""

    def approvers(self, members: Collection[str]) -> Collection[str]:
        """Whose approval an attempt with these members needs: every participant's."""
        return self.participants

    @abstractmethod
    def check(self) -> None:
        """Refuse a spec that does not fit its key, or whose noise misses the claimed epsilon.

        Sites and the portal check it before approval. Raises InvalidInput that gives both numbers.
        """

    def context_check(self, context: C) -> None:
        """Check that a context is of this subject, spec and key, and of a paid release.

        Raises Refused.
        """
        if context.subject != self.id:
            raise Refused(self.UNKNOWN, f"context names {self.NOUN} {context.subject}")
        if context.spec != self.digest:
            raise Refused(Reason.SPEC_CHANGED, f"context binds spec {context.spec[:16]}")
        if context.key_epoch != self.spec.key_epoch:
            raise Refused(Reason.KEY_UNKNOWN, f"context binds key epoch {context.key_epoch[:16]}")
        if context.number > self.releases:
            raise Refused(
                Reason.CONTEXT_MIXED,
                f"{self.RELEASE} {context.number}; the {self.NOUN} has {self.releases}",
            )


AnyAgreement = Agreement[Any, Any]
