"""A job's attempts as the protocol's rules see them."""

from __future__ import annotations

from datetime import datetime

from apps.attempts.source import Attempts
from apps.training.models import Contribution, Receipt, Refusal, Round, Share, Verdict
from federated.protocol.arrival import Held
from federated.protocol.attempt import State


class RoundSource(Attempts):
    rows = Round
    owner = "job"
    field = "round"
    messages = {
        "contribution": Contribution,
        "receipt": Receipt,
        "share": Share,
        "verdict": Verdict,
        "refusal": Refusal,
    }

    def held(self, row: Round) -> Held:
        return Held(
            agreement=row.job.agreement,
            context=row.wire_context,
            state=State(row.state),
            approved=row.job.slugs(),
            cohort=row.wire_cohort,
            release=row.wire_release,
            name=str(row),
        )

    def expected(self, row: Round) -> int:
        """A job runs once every participant has approved it."""
        return len(row.job.agreement.participants)

    def since(self, row: Round) -> datetime | None:
        return row.charged_at


SOURCE = RoundSource()
