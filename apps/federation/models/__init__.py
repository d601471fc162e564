"""Jobs, their rounds, and what sites send for each attempt."""

from apps.federation.models.job import DataDictionary, Job, JobParticipant, ModelState
from apps.federation.models.messages import (
    Contribution,
    ContributionReceipt,
    Receipt,
    Refusal,
    RoundMessage,
    Share,
    Verdict,
)
from apps.federation.models.round import Round

__all__ = [
    "Contribution",
    "ContributionReceipt",
    "DataDictionary",
    "Job",
    "JobParticipant",
    "ModelState",
    "Receipt",
    "Refusal",
    "Round",
    "RoundMessage",
    "Share",
    "Verdict",
]
