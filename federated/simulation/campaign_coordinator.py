"""The coordinator of a simulated campaign: its runs follow each other without a schedule."""

from __future__ import annotations

from typing import Any

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
from federated.wire.site import CampaignTask, RunTask, Task, Work


class CampaignCoordinator(Coordinator[CampaignAgreement]):
    """One campaign, its runs one after the other."""

    # What sites ask.

    def shown(self) -> dict[str, Any]:
        newest = self.newest
        collecting = newest is not None and newest.state is State.COLLECTING
        return {
            "spec": self.agreement.spec.dump(),
            "spec_digest": self.agreement.digest,
            "state": "ended" if self.ended else "active",
            "approved_by_person": False,
            "runs_opened": len(self.played),
            "open_run": newest.at.round if newest and collecting else None,
            "run_list": [
                {"number": p.at.round, "state": p.state.value, "charged": p.charged}
                for p in self.played
            ],
        }

    def _transcript(self, played: Played) -> CampaignTranscript:
        members, sent = sorted(played.cohort.members), played.sent
        noisy = sorted(sent["noise"] if played.noised is None else played.noised.noise)
        return CampaignTranscript(
            spec=self.agreement.spec,
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
            return CampaignTask(campaign_id=self.agreement.id)
        return RunTask.of(work, self.agreement.id, played.at.round)

    # What sites send.

    def replace(
        self, played: Played, signed: Signed[Submission], replaces: str, sender: str
    ) -> None:
        """Raises AlreadySent where ``replaces`` is not what stands, Closed after the close."""
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

    # What is due.

    @property
    def _may_approve(self) -> bool:
        return not self.ended

    def _begin(self, *, late: bool) -> None:
        if not late and len(self.approvals) < len(self.agreement.participants):
            return
        able = self.agreement.serving(self.approvals)
        few = len(self.approvals) < self.agreement.spec.minimum_cohort
        if few or len(able) < self.agreement.threshold:
            self._end("failed", "too few have approved")
        else:
            self._open(1, 1)

    def _context(self, number: int, attempt: int) -> CampaignContext:
        return CampaignContext(
            campaign_id=self.agreement.id,
            spec=self.agreement.digest,
            run=number,
            key_epoch=self.agreement.spec.key_epoch,
            checkpoint="0" * 64,
        )

    def _release(self, played: Played) -> CampaignRelease:
        release: CampaignRelease
        release, _ = release_make(self._transcript(played), agreement=self.agreement)
        return release
