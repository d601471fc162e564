"""Refusals of what a site sends for an attempt.

Conflict
 . Closed                  too late: the attempt, or the job, is past this
 . AlreadySent             other bytes than the ones accepted before
 . PartMissing             a part of a vector that does not follow what is here
InvalidInput
 . ContextMismatch         bound to another attempt
 . CohortMismatch          for another cohort than the attempt's
 . ChargeMismatch          another cost than the spec's
 . VectorMissing           a contribution whose masked vector is not here
 . StateMissing            a proposal whose server state is not here
"""

from __future__ import annotations

from federated.errors import Conflict, InvalidInput


class Closed(Conflict):
    code = "closed"
    title = "It is closed"


class AlreadySent(Conflict):
    code = "already_sent"
    title = "Something else was sent before"


class PartMissing(Conflict):
    code = "part_missing"
    title = "An earlier part is missing"


class ContextMismatch(InvalidInput):
    code = "context_mismatch"
    title = "Bound to another attempt"


class CohortMismatch(InvalidInput):
    code = "cohort_mismatch"
    title = "For another cohort"


class ChargeMismatch(InvalidInput):
    code = "charge_mismatch"
    title = "Not the cost of the spec"


class VectorMissing(InvalidInput):
    code = "vector_missing"
    title = "The masked vector is not here"


class StateMissing(InvalidInput):
    code = "state_missing"
    title = "The server state is not here"
