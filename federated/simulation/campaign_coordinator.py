"""The coordinator of a simulated campaign: its runs follow each other without a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from federated.errors import NotFound
from federated.protocol.agreement import CampaignAgreement
from federated.protocol.arrival import AlreadySent, state_check
from federated.protocol.attempt import State
from federated.protocol.release import release_make
from federated.simulation.coordinator import Coordinator, Played
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignContext,
    CampaignRelease,
    CampaignTranscript,
    Submission,
)
from federated.wire.key import SealedShare
from federated.wire.site import Task, Work


class CampaignCoordinator(Coordinator):
    """One campaign, its runs one after the other."""

    def __init__(
        self,
        agreement: CampaignAgreement,
        sealed: dict[str, SealedShare],
        *,
        now: Callable[[], float],
        told: Callable[[Played], None],
    ) -> None:
        super().__init__(agreement, sealed, now=now, told=told)
        self.agreement: CampaignAgreement = agreement
        self.spec = agreement.spec

    # What sites ask.

    def campaign(self) -> dict[str, Any]:
        newest = self.newest
        collecting = newest is not None and newest.state is State.COLLECTING
        return {
            "spec": self.spec.dump(),
            "spec_digest": self.agreement.digest,
            "state": "ended" if self.ended else "active",
            "approved_by_person": False,
            "runs_opened": len(self.played),
            "open_run": newest.number if newest and collecting else None,
            "run_list": [
                {"number": p.number, "state": p.state.value, "charged": p.charged}
                for p in self.played
            ],
        }

    def find(self, number: int) -> Played:
        """Raises NotFound."""
        if not 1 <= number <= len(self.played):
            raise NotFound(f"no run {number}")
        return self.played[number - 1]

    def run(self, number: int) -> dict[str, Any]:
        played = self.find(number)
        cohort = None if played.cohort is None else played.cohort.dump()
        return {"context": played.context.dump(), "cohort": cohort}

    def transcript(self, number: int) -> CampaignTranscript:
        """Raises NotFound before the run has closed."""
        played = self.find(number)
        if played.cohort is None:
            raise NotFound(f"run {number} has not closed with a cohort")
        return self._transcript(played)

    def _transcript(self, played: Played) -> CampaignTranscript:
        members, sent = sorted(played.cohort.members), played.sent
        noisy = sorted(sent["noise"] if played.noised is None else played.noised.noise)
        return CampaignTranscript(
            spec=self.spec,
            approvals=tuple(self.approvals[name] for name in members),
            context=played.context,
            submissions=tuple(sent["submission"][name] for name in members),
            receipts=tuple(sent["receipt"].values()),
            noise=tuple(sent["noise"][name] for name in noisy),
            shares=tuple(sent["share"].values()),
            release=played.release,
        )

    def _task(self, work: Work, played: Played | None) -> Task:
        if played is None:
            return Task(kind=work, campaign_id=self.agreement.id)
        return Task(kind=work, campaign_id=self.agreement.id, run=played.number)

    # What sites send.

    def replace(self, number: int, signed: Signed[Submission], replaces: str, sender: str) -> None:
        """Raises AlreadySent where ``replaces`` is not what stands, Closed after the close."""
        played = self.find(number)
        before = played.sent["submission"].get(sender)
        if before is not None and before.digest() == signed.digest():
            return
        state_check(self._held(played), "submission")
        if before is None or before.digest() != replaces:
            raise AlreadySent(f"another submission of {sender} stands, or none")
        del played.sent["submission"][sender]
        try:
            self.receive(played, "submission", signed, sender)
        finally:
            played.sent["submission"].setdefault(sender, before)

    def _beside_check(self, played: Played, message: str, signed: Signed[Any]) -> None:
        """A run's messages are whole."""

    # What is due.

    @property
    def _may_approve(self) -> bool:
        return not self.ended

    def _begin(self, *, late: bool) -> None:
        if not late and len(self.approvals) < len(self.agreement.participants):
            return
        able = self.agreement.serving(self.approvals)
        few = len(self.approvals) < self.spec.minimum_cohort
        if few or len(able) < self.agreement.threshold:
            self._end("failed", "too few have approved")
        else:
            self._open(1, 1)

    def _context(self, number: int, attempt: int) -> CampaignContext:
        return CampaignContext(
            campaign_id=self.agreement.id,
            spec=self.agreement.digest,
            run=number,
            key_epoch=self.spec.key_epoch,
            checkpoint="0" * 64,
        )

    def _release(self, played: Played) -> CampaignRelease:
        release: CampaignRelease
        release, _ = release_make(self._transcript(played), agreement=self.agreement)
        return release
