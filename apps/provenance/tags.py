"""The kinds of events that logs hold: ``area:object:verb``.

A tag is part of signed history, so a value is never changed or used again for something else.
"""

from enum import StrEnum


class AnyTag(StrEnum):
    """A set of tags: the portal's own, and one for each app that brings its kind's.

    Raises ValueError for a tag that another set holds.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        others = {tag: each for each in AnyTag.__subclasses__() if each is not cls for tag in each}
        for tag in cls:
            if tag in others:
                raise ValueError(f"{cls.__name__}: {tag.value} is a tag of {others[tag].__name__}")


class Tag(AnyTag):
    """The portal's own."""

    CONSORTIUM_STARTED = "organizations:consortium:started"
    ORGANIZATION_CREATED = "organizations:organization:created"
    JOIN_TOKEN_ISSUED = "organizations:token:issued"  # noqa: S105
    SITE_JOINED = "organizations:site:joined"
    CERTIFICATE_ISSUED = "organizations:certificate:issued"
    CERTIFICATE_REVOKED = "organizations:certificate:revoked"

    USER_CREATED = "accounts:user:created"
    MEMBER_ADDED = "accounts:member:added"
    MEMBER_REMOVED = "accounts:member:removed"

    DATASET_REGISTERED = "budgets:dataset:registered"
    ALLOTMENT_GRANTED = "budgets:allotment:granted"
    ALLOTMENT_REQUESTED = "budgets:allotment:requested"
    ALLOTMENT_ANSWERED = "budgets:allotment:answered"
    ALLOTMENT_CHANGED = "budgets:allotment:changed"
    LEDGER_MIRRORED = "budgets:ledger:mirrored"
    LEDGER_DIFFERS = "budgets:ledger:differs"

    KEY_REGISTERED = "aggregation:key:registered"
    KEY_CONFIRMED = "aggregation:key:confirmed"
    KEY_ACTIVATED = "aggregation:key:activated"
    KEY_SUPERSEDED = "aggregation:key:superseded"
    KEY_RETIRED = "aggregation:key:retired"
    KEY_SHARE_DESTROYED = "aggregation:key:share_destroyed"
    KEY_DESTROYED = "aggregation:key:destroyed"

    DICTIONARY_REGISTERED = "federation:dictionary:registered"

    JOB_PROPOSED = "federation:job:proposed"
    EPSILON_OVERRIDDEN = "federation:epsilon:overridden"
    JOB_ENDORSED = "federation:job:endorsed"
    JOB_APPROVED = "federation:job:approved"
    JOB_REFUSED = "federation:job:refused"
    JOB_QUEUED = "federation:job:queued"
    JOB_STARTED = "federation:job:started"
    JOB_CANCELLED = "federation:job:cancelled"
    JOB_FINISHED = "federation:job:finished"
    JOB_FAILED = "federation:job:failed"

    ROUND_OPENED = "federation:round:opened"
    VECTOR_STORED = "federation:vector:stored"
    VECTOR_DELETED = "federation:vector:deleted"
    CONTRIBUTION_ACCEPTED = "federation:contribution:accepted"
    ROUND_CLOSED = "federation:round:closed"
    RECEIPT_ACCEPTED = "federation:receipt:accepted"
    ROUND_CHARGED = "federation:round:charged"
    SHARE_ACCEPTED = "federation:share:accepted"
    SHARE_REFUSED = "federation:share:refused"
    CONTRIBUTIONS_EXPIRED = "federation:contributions:expired"
    ROUND_RELEASED = "federation:round:released"
    ROUND_ABANDONED = "federation:round:abandoned"
    VERDICT_ACCEPTED = "federation:verdict:accepted"

    CAMPAIGN_CREATED = "benchmarks:campaign:created"
    CAMPAIGN_CHANGED = "benchmarks:campaign:changed"
    CAMPAIGN_ENDORSED = "benchmarks:campaign:endorsed"
    CAMPAIGN_APPROVED = "benchmarks:campaign:approved"
    CAMPAIGN_DECLINED = "benchmarks:campaign:declined"
    CAMPAIGN_ENDED = "benchmarks:campaign:ended"
    CAMPAIGN_CANCELLED = "benchmarks:campaign:cancelled"

    RUN_OPENED = "benchmarks:run:opened"
    SUBMISSION_ACCEPTED = "benchmarks:submission:accepted"
    SUBMISSION_REPLACED = "benchmarks:submission:replaced"
    RUN_CLOSED = "benchmarks:run:closed"
    RUN_RECEIPT_ACCEPTED = "benchmarks:receipt:accepted"
    RUN_CHARGED = "benchmarks:run:charged"
    NOISE_ACCEPTED = "benchmarks:noise:accepted"
    RUN_NOISED = "benchmarks:run:noised"
    RUN_SHARE_ACCEPTED = "benchmarks:share:accepted"
    RUN_REFUSED = "benchmarks:run:refused"
    RUN_RELEASED = "benchmarks:run:released"
    RUN_ABANDONED = "benchmarks:run:abandoned"
    SUBMISSIONS_EXPIRED = "benchmarks:submissions:expired"
    RUN_VERDICT_ACCEPTED = "benchmarks:verdict:accepted"

    SCHEDULES_SEEDED = "schedules:schedules:seeded"
    SCHEDULE_CHANGED = "schedules:schedule:changed"
    WITNESS_REGISTERED = "provenance:witness:registered"

    BUNDLE_EXPORTED = "audit:bundle:exported"
    VERIFICATION_ASKED = "audit:verification:asked"
    VERIFICATION_ENDED = "audit:verification:ended"
