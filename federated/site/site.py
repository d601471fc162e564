"""What every piece of a site's work uses: its folder, its identity, the coordinator."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

from federated.api.coordinator import CoordinatorAPI
from federated.errors import DomainError, InvalidInput
from federated.protocol.agreement import AnyAgreement, CampaignAgreement, JobAgreement
from federated.protocol.identity import SiteIdentity
from federated.protocol.kinds import agreement_of
from federated.protocol.refused import Refused
from federated.protocol.transcript import transcript_check
from federated.provenance.cosignature import CosignerKey
from federated.site.folder import SiteHome
from federated.site.local_data import LocalData
from federated.wire.campaign import CampaignSpec
from federated.wire.job import JobSpec
from federated.wire.key import KeyEpoch
from federated.wire.round import ClosedAttempt, Reason

Say = Callable[[str], None]
CHECKED_KEPT = 8


class Waiting(Exception):
    """Nothing is wrong; the work waits for something that the message names."""


@dataclass
class Site:
    """A site at work. ``say`` takes one line for people; it never gets a record or a secret."""

    home: SiteHome
    api: CoordinatorAPI
    say: Say = lambda line: None
    cosigners: dict[str, CosignerKey] = field(default_factory=dict)
    """Other organizations' witnesses by the digest of their signed key."""
    _agreements: OrderedDict[str, AnyAgreement] = field(default_factory=OrderedDict)
    _checked: OrderedDict[tuple[str, ...], Any] = field(default_factory=OrderedDict)

    @cached_property
    def identity(self) -> SiteIdentity:
        return self.home.credentials.identity

    @property
    def organization(self) -> str:
        return self.identity.organization

    @cached_property
    def data(self) -> LocalData:
        return LocalData(self.home, self.say)

    def epoch(self, digest: str) -> KeyEpoch:
        """The epoch this site checked and kept. Raises Refused(key_unknown)."""
        epoch = self.home.epoch(digest)
        if epoch is None:
            raise Refused(Reason.KEY_UNKNOWN, f"key epoch {digest[:16]} is not kept here")
        return epoch

    def spec(self, job_id: str) -> JobSpec:
        """The spec this site approved. Raises Refused(job_unknown)."""
        spec = self.home.job(job_id).spec()
        if spec is None:
            raise Refused(Reason.JOB_UNKNOWN, f"job {job_id} was not approved by this site")
        return spec

    @overload
    def agreement(self, spec: JobSpec) -> JobAgreement: ...
    @overload
    def agreement(self, spec: CampaignSpec) -> CampaignAgreement: ...
    def agreement(self, spec: Any) -> AnyAgreement:
        """The agreement of an approved spec with the epoch kept here. Raises Refused(key_unknown).

        The newest few are remembered, with the layouts that they computed.
        """
        digest = spec.digest()
        if digest not in self._agreements:
            self._agreements[digest] = agreement_of(spec, self.epoch(spec.key_epoch))
            while len(self._agreements) > CHECKED_KEPT:
                self._agreements.popitem(last=False)
        return self._agreements[digest]

    def check(self, transcript: ClosedAttempt, *, agreement: AnyAgreement) -> Any:
        """transcript_check, once for the same bytes of an attempt. Raises Refused."""
        key = (
            agreement.digest,
            transcript.spec.digest(),
            *(approval.digest() for approval in transcript.approvals),
            transcript.cohort().digest(),
            str(bool(transcript.left)),
        )
        if key not in self._checked:
            self._checked[key] = transcript_check(transcript, agreement=agreement)
            while len(self._checked) > CHECKED_KEPT:
                self._checked.popitem(last=False)
        return self._checked[key]


def short(error: DomainError) -> str:
    """An error as one line."""
    return " ".join(error.message.split())


def pins_check(site: Site, agreement: AnyAgreement) -> None:
    """Check the keys that a spec pins, and its consortium, against what this site knows.

    Raises InvalidInput naming what is wrong.
    """
    spec, kind = agreement.spec, agreement.NOUN
    own = agreement.participant(site.organization)
    if own is None:
        raise InvalidInput(f"{site.organization} is not among the {kind}'s participants")
    if own.public_key != site.identity.public_key:
        raise InvalidInput("the spec pins another signing key for this organization")
    consortium = site.home.about().consortium
    if spec.consortium != consortium:
        raise InvalidInput(f"{kind} of consortium {spec.consortium}, this is {consortium}")
    if other := agreement.pinned_otherwise():
        raise InvalidInput(f"the spec pins another key of {other} than the key epoch")


def reserve(site: Site, agreement: AnyAgreement, *, first: int = 1) -> None:
    """Set aside, in the site's ledger, what the releases from ``first`` on cost."""
    cost = agreement.cost
    site.home.ledger.reserve(
        job_id=agreement.ledger_id,
        spec=agreement.digest,
        proposer=agreement.proposer,
        cost=cost,
        rounds=agreement.releases,
        allotment=site.home.policy().allotment_of(cost.dataset),
        first=first,
        pure_epsilon=agreement.pure_epsilon,
    )
