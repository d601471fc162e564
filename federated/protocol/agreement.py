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

import uuid
from abc import ABC, abstractmethod
from collections.abc import Collection
from functools import cached_property
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from federated.aggregation.base import Aggregator
from federated.aggregation.votes import VoteLayout
from federated.crypto.paillier import PublicKey
from federated.crypto.threshold import VerificationKeys
from federated.errors import InvalidInput
from federated.privacy import accountant
from federated.protocol.campaign_layout import gaussian_rho, vote_layout
from federated.protocol.cost import check_spec_privacy, round_cost
from federated.protocol.identity import verify_signed
from federated.protocol.keys import public_key_of, verification_of
from federated.protocol.layout import aggregator_of
from federated.protocol.refused import Refused
from federated.wire.base import Message, Signed
from federated.wire.campaign import CampaignApproval, CampaignContext, CampaignSpec
from federated.wire.job import Approval, Cost, JobSpec, Participant
from federated.wire.key import KeyEpoch, Trustee
from federated.wire.round import Reason, RoundContext

_CAMPAIGNS = uuid.UUID("6f1a1c0e-9a0f-5d0b-8c57-0c8a9f0d6b11")


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


class JobAgreement(Agreement[JobSpec, RoundContext]):
    """A job's: training, or a joint evaluation. ``aggregator`` lays its vectors out."""

    NOUN, RELEASE, UNKNOWN = "job", "round", Reason.JOB_UNKNOWN

    @cached_property
    def aggregator(self) -> Aggregator:
        """Raises InvalidInput for a job that does not fit the key."""
        return aggregator_of(self.spec, self.key)

    @property
    def id(self) -> str:
        return self.spec.job_id

    @property
    def proposer(self) -> str:
        return self.spec.proposer

    @cached_property
    def cost(self) -> Cost:
        return round_cost(self.spec)

    @property
    def releases(self) -> int:
        return self.spec.strategy.rounds

    @property
    def seconds(self) -> int:
        return self.spec.round_seconds

    def minimum(self, context: RoundContext) -> int:
        return context.minimum(self.spec)

    def approval(self, organization: str) -> Approval:
        return Approval(
            job_id=self.id,
            spec=self.digest,
            organization=organization,
            cost=self.whole_cost,
            rounds=self.releases,
        )

    def check(self) -> None:
        colluding = self.spec.privacy.colluding
        if colluding < self.epoch.max_colluding:
            raise InvalidInput(
                f"privacy.colluding is {colluding}, the key epoch expects up to "
                f"{self.epoch.max_colluding}"
            )
        check_spec_privacy(self.spec)
        _ = self.aggregator

    def context_check(self, context: RoundContext) -> None:
        super().context_check(context)
        asked, least, most = (
            context.minimum_cohort,
            self.spec.minimum_cohort,
            len(self.participants),
        )
        if asked and not least < asked <= most:
            raise Refused(
                Reason.CONTEXT_MIXED,
                f"minimum_cohort {asked}; above the spec's {least} and at most {most} are allowed, "
                "or nothing",
            )


class CampaignAgreement(Agreement[CampaignSpec, CampaignContext]):
    """A campaign's. ``layouts`` are those of its votes, one per metric."""

    NOUN, RELEASE, UNKNOWN = "campaign", "run", Reason.CAMPAIGN_UNKNOWN

    @cached_property
    def layouts(self) -> tuple[VoteLayout, ...]:
        """The slots of each metric's vote. Raises InvalidInput where they do not fit the key."""
        return tuple(
            vote_layout(
                metric,
                kind=self.spec.noise.kind,
                honest=self.honest_trustees,
                contributors=len(self.participants),
                trustees=len(self.epoch.trustees),
                bits=self.key.bits,
            )
            for metric in self.spec.metrics
        )

    @property
    def honest_trustees(self) -> int:
        """t - f: trustees of a quorum that do not collude; Gaussian privacy rests on theirs."""
        return self.epoch.threshold - self.epoch.max_colluding

    @property
    def id(self) -> str:
        return self.spec.campaign_id

    @property
    def proposer(self) -> str:
        return self.spec.creator

    @property
    def pure_epsilon(self) -> float:
        return self.spec.noise.epsilon if self.spec.noise.delta is None else 0.0

    @property
    def ledger_id(self) -> str:
        return ledger_id(self.spec)

    @cached_property
    def cost(self) -> Cost:
        """Pure epsilon is converted to rho = epsilon^2 / 2."""
        return Cost(dataset=self.spec.dataset, unit="organization", rho=self._rho())

    @property
    def releases(self) -> int:
        return self.spec.runs

    @property
    def seconds(self) -> int:
        return self.spec.run_seconds

    def approvers(self, members: Collection[str]) -> Collection[str]:
        """Its members': who did not approve takes no part, and the others run without it."""
        return members

    def approval(self, organization: str) -> CampaignApproval:
        return CampaignApproval(
            campaign_id=self.id,
            spec=self.digest,
            organization=organization,
            cost=self.cost,
            runs=self.releases,
        )

    def check(self) -> None:
        for layout in self.layouts:
            _ = layout.widths
        noise = self.spec.noise
        if noise.delta is None:
            return
        actual = accountant.rho_to_epsilon(self._rho(), noise.delta)
        if actual > noise.epsilon:
            raise InvalidInput(
                f"split: the metrics' rho gives epsilon {actual:.4f} at delta {noise.delta:g}, "
                f"the spec claims {noise.epsilon:g}"
            )

    def _rho(self) -> float:
        if self.spec.noise.kind == "laplace":
            return accountant.pure_epsilon_to_rho(self.spec.noise.epsilon)
        return gaussian_rho(self.layouts, honest=self.honest_trustees)


AnyAgreement = Agreement[Any, Any]


def ledger_id(spec: CampaignSpec) -> str:
    """The name under which a site's ledger keeps an approved campaign: a UUID of this very spec.

    A changed campaign is approved, reserved and charged anew. Entries of the ledger name a job, a
    round and an attempt; of a campaign they name this, the run's number and 1.
    """
    return str(uuid.uuid5(_CAMPAIGNS, spec.digest()))
