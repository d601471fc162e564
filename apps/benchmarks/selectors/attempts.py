"""A campaign's runs as the protocol's rules see attempts."""

from __future__ import annotations

from datetime import datetime

from apps.attempts.source import Attempts
from apps.benchmarks.models import (
    CampaignParticipant,
    Noise,
    Run,
    RunReceipt,
    RunRefusal,
    RunShare,
    RunVerdict,
    Submission,
)
from federated.protocol.arrival import Held
from federated.protocol.attempt import State


class RunSource(Attempts):
    rows = Run
    owner = "campaign"
    field = "run"
    messages = {
        "submission": Submission,
        "receipt": RunReceipt,
        "noise": Noise,
        "share": RunShare,
        "verdict": RunVerdict,
        "refusal": RunRefusal,
    }

    def held(self, row: Run) -> Held:
        state = State.COLLECTING if row.state == Run.State.OPEN else State(row.state)
        return Held(
            agreement=row.agreement,
            context=row.wire_context,
            state=state,
            approved=row.invited,
            cohort=row.wire_cohort,
            noised=row.wire_noised,
            release=row.wire_release,
            name=str(row),
        )

    def stored(self, state: State) -> str:
        """A run that collects is open, as campaigns have always called it."""
        return str(Run.State.OPEN) if state is State.COLLECTING else state.value

    def expected(self, row: Run) -> int | None:
        """Whoever approves while the run is open may submit to it."""
        pending = CampaignParticipant.State.PENDING
        if row.campaign.participants.filter(state=pending).exists():
            return None
        return len(row.invited)

    def since(self, row: Run) -> datetime | None:
        return row.charged_at if row.noised is None else row.noised_at


SOURCE = RunSource()
