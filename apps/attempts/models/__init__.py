"""Agreements of every kind, who takes part, their attempts, and what sites send for each."""

from apps.attempts.models.agreement import OWN_ROW, Agreement, OfAgreement, Participant
from apps.attempts.models.attempt import Attempt, OfAttempt
from apps.attempts.models.message import AttemptMessage, ContributionReceipt

__all__ = [
    "OWN_ROW",
    "Agreement",
    "Attempt",
    "AttemptMessage",
    "ContributionReceipt",
    "OfAgreement",
    "OfAttempt",
    "Participant",
]
