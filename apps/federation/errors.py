"""Refusals of what a site sends for an attempt.

Conflict
 . Closed                  too late: the attempt, or the job, is past this
 . AlreadySent             other bytes than the ones accepted before
InvalidInput
 . ContextMismatch         bound to another attempt
 . CohortMismatch          for another cohort than the attempt's
 . ChargeMismatch          another cost than the spec's
"""

from __future__ import annotations

from federated.errors import Conflict, InvalidInput


class Closed(Conflict):
    code = "closed"
    title = "It is closed"


class AlreadySent(Conflict):
    code = "already_sent"
    title = "Something else was sent before"


class ContextMismatch(InvalidInput):
    code = "context_mismatch"
    title = "Bound to another attempt"


class CohortMismatch(InvalidInput):
    code = "cohort_mismatch"
    title = "For another cohort"


class ChargeMismatch(InvalidInput):
    code = "charge_mismatch"
    title = "Not the cost of the spec"
