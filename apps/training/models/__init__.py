"""Jobs, their rounds, and what sites send for each attempt."""

from apps.training.models.job import DataDictionary, Job, JobParticipant, ModelState
from apps.training.models.messages import (
    Contribution,
    ContributionReceipt,
    Receipt,
    Refusal,
    RoundMessage,
    Share,
    Verdict,
)
from apps.training.models.round import Round
from apps.training.models.vector import MaskedVector, SumPart

__all__ = [
    "Contribution",
    "ContributionReceipt",
    "DataDictionary",
    "Job",
    "JobParticipant",
    "MaskedVector",
    "ModelState",
    "Receipt",
    "Refusal",
    "Round",
    "RoundMessage",
    "Share",
    "SumPart",
    "Verdict",
]
