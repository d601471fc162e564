"""Campaigns, their runs, and what sites send for each run."""

from apps.benchmarks.models.campaign import Campaign, CampaignParticipant
from apps.benchmarks.models.messages import (
    Noise,
    RunMessage,
    RunReceipt,
    RunRefusal,
    RunShare,
    RunVerdict,
    Submission,
    SubmissionReceipt,
)
from apps.benchmarks.models.run import Run

__all__ = [
    "Campaign",
    "CampaignParticipant",
    "Noise",
    "Run",
    "RunMessage",
    "RunReceipt",
    "RunRefusal",
    "RunShare",
    "RunVerdict",
    "Submission",
    "SubmissionReceipt",
]
