"""Refusals of what a site sends for a job, besides those of an attempt (protocol.arrival).

Conflict
 . PartMissing             a part of a vector that does not follow what is here
InvalidInput
 . VectorMissing           a contribution whose masked vector is not here
 . StateMissing            a proposal whose server state is not here
"""

from __future__ import annotations

from federated.errors import Conflict, InvalidInput


class PartMissing(Conflict):
    code = "part_missing"
    title = "An earlier part is missing"


class VectorMissing(InvalidInput):
    code = "vector_missing"
    title = "The masked vector is not here"


class StateMissing(InvalidInput):
    code = "state_missing"
    title = "The server state is not here"
