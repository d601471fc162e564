"""The wire of a simulated campaign: what a site's agent calls, and a tap that sees what leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from federated.errors import NotFound
from federated.protocol.address import Attempt
from federated.simulation.campaign_coordinator import CampaignCoordinator
from federated.simulation.carrier import Carrier
from federated.wire.base import Signed
from federated.wire.campaign import (
    CampaignApproval,
    CampaignDecline,
    CampaignTranscript,
    Submission,
)
from federated.wire.key import KeyConfirmation, KeyEpoch, SealedShare
from federated.wire.site import Inbox, LedgerReport

T = TypeVar("T")
Tap = Callable[[str, int, str, Signed[Any]], None]
"""Told of each message that a site lets out for a run: name, run, kind, message."""


class CampaignAPI:
    """The interface of ``CoordinatorAPI`` as far as campaigns need it."""

    url = "https://coordinator.invalid"

    def __init__(
        self, carrier: Carrier, coordinator: CampaignCoordinator, name: str, tap: Tap
    ) -> None:
        self._carrier, self._coordinator = carrier, coordinator
        self._name, self._tap = name, tap

    def interrupt(self) -> None:
        """Nothing waits here."""

    def inbox(self) -> Inbox:
        return self._ask("inbox", lambda: self._coordinator.inbox(self._name))

    def key(self, digest: str) -> tuple[KeyEpoch, SealedShare | None]:
        return self._ask("key", lambda: self._coordinator.key(self._name))

    def key_confirm(self, digest: str, signed: Signed[KeyConfirmation]) -> None:
        self._say("key confirmation", lambda: self._coordinator.key_confirm(self._name))

    def ledger_send(self, signed: Signed[LedgerReport]) -> None:
        self._say("ledger", lambda: None)

    def job(self, job_id: str) -> dict[str, Any]:
        raise NotFound(f"no job {job_id}")

    def campaign(self, campaign_id: str) -> dict[str, Any]:
        return self._ask("campaign", self._coordinator.campaign)

    def campaign_approve(self, signed: Signed[CampaignApproval]) -> None:
        self._say("approval", lambda: self._coordinator.approve(signed))

    def campaign_decline(self, signed: Signed[CampaignDecline]) -> None:
        self._tap(self._name, 0, "decline", signed)

    def run(self, campaign_id: str, number: int) -> dict[str, Any]:
        return self._ask(f"run {number}", lambda: self._coordinator.run(number))

    def run_transcript(self, campaign_id: str, number: int) -> CampaignTranscript:
        what = f"transcript {number}"
        found = self._ask(what, lambda: self._coordinator.transcript(number))
        return CampaignTranscript.parse(found.canonical())

    def run_send(self, campaign_id: str, number: int, kind: str, signed: Signed[Any]) -> None:
        message = type(signed).parse(signed.canonical())
        self._tap(self._name, number, kind, message)
        self._say(f"{kind} {number}", lambda: self._receive(number, kind, message))

    def _receive(self, number: int, kind: str, message: Signed[Any]) -> None:
        self._coordinator.receive(self._coordinator.find(number), kind, message, self._name)

    def submission_replace(
        self, campaign_id: str, number: int, signed: Signed[Submission], *, replaces: str
    ) -> None:
        message = type(signed).parse(signed.canonical())
        self._tap(self._name, number, f"replacement of {replaces}", message)
        replace = self._coordinator.replace
        self._say(f"replacement {number}", lambda: replace(number, message, replaces, self._name))

    def attempt_send(self, at: Attempt, kind: str, signed: Signed[Any]) -> None:
        raise NotFound(f"no {at}")

    def _ask(self, what: str, deliver: Callable[[], T]) -> T:
        return self._carrier.carry(self._name, what, deliver)

    def _say(self, what: str, deliver: Callable[[], None]) -> None:
        self._carrier.say(self._name, what, deliver)
