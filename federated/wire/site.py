"""Messages between a site and the portal outside a round."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from federated.wire.base import Bytes, Digest, Identifier, Message, Name, Slug
from federated.wire.job import Unit
from federated.wire.witness import LogName


class JoinRequest(Message):
    """One-time admission: the CSR and the encryption key are made at the site."""

    TAG: ClassVar[str] = "join-request"

    token: Annotated[str, Field(min_length=16, max_length=300)]
    csr: Annotated[str, Field(max_length=8192)]
    encryption_key: Bytes


class JoinResponse(Message):
    """The certificate of the consortium's CA for the site, and the CA's own."""

    TAG: ClassVar[str] = "join-response"

    organization: Slug
    consortium: Name
    certificate: str
    ca: str


class RenewalRequest(Message):
    """A certificate request for the key that the site has: its next certificate."""

    TAG: ClassVar[str] = "renewal-request"

    csr: Annotated[str, Field(max_length=8192)]


class Renewal(Message):
    """The site's newest certificate: the next one, or the present one until it is due."""

    TAG: ClassVar[str] = "renewal"

    certificate: str


class Work(StrEnum):
    """The kinds of work that a site can be asked to do."""

    KEY = "key"
    RETIRE = "retire"
    APPROVE = "approve"
    TRAIN = "train"
    CHARGE = "charge"
    DECRYPT = "decrypt"
    VERIFY = "verify"
    ALLOT = "allot"
    SUBMIT = "submit"
    NOISE = "noise"
    COSIGN = "cosign"


FIELDS = (
    "kind",
    "job_id",
    "round",
    "attempt",
    "epoch",
    "request",
    "campaign_id",
    "run",
    "log",
    "size",
)
"""The fields that a task of any kind is sent with, in order; those it does not have are null."""


def _null_fields(schema: dict[str, Any]) -> None:
    schema["required"] = ["kind", *(name for name in schema["required"] if name != "kind")]
    for name in FIELDS:
        schema["properties"].setdefault(name, {"type": "null"})


class _Task(Message):
    """One thing to do, named by the object it concerns; the site fetches that itself.

    Sent with null for every other field of FIELDS; parsed with null or nothing there. A field that
    a later kind of task brings is not added to FIELDS: only its own kind is sent with it.
    """

    model_config = ConfigDict(json_schema_extra=_null_fields)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        return {n: value for n, value in fields.items() if value is not None or n not in FIELDS}

    @model_serializer(mode="wrap")
    def _with_nulls(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {**dict.fromkeys(FIELDS), **write(self)}


Number = Annotated[int, Field(ge=1)]


class KeyTask(_Task):
    """Take a key share, or destroy it."""

    kind: Literal[Work.KEY, Work.RETIRE]
    epoch: Digest


class AllotTask(_Task):
    """Decide a request of the organization's admin for more budget."""

    kind: Literal[Work.ALLOT] = Work.ALLOT
    request: Identifier


class CosignTask(_Task):
    """Cosign a log's checkpoint; a log that grew is a new task."""

    kind: Literal[Work.COSIGN] = Work.COSIGN
    log: LogName
    size: Annotated[int, Field(ge=0)]


class JobTask(_Task):
    """Approve a job."""

    kind: Literal[Work.APPROVE] = Work.APPROVE
    job_id: Identifier


class AttemptTask(_Task):
    """Take the next step in an attempt at a job's round."""

    kind: Literal[Work.TRAIN, Work.CHARGE, Work.DECRYPT, Work.VERIFY]
    job_id: Identifier
    round: Number
    attempt: Number

    @classmethod
    def of(cls, kind: Work, job_id: str, round: int, attempt: int) -> AttemptTask:
        """Raises InvalidInput for work that no attempt asks for."""
        return cls.parse({"kind": kind, "job_id": job_id, "round": round, "attempt": attempt})


class CampaignTask(_Task):
    """Approve a campaign."""

    kind: Literal[Work.APPROVE] = Work.APPROVE
    campaign_id: Identifier


class RunTask(_Task):
    """Take the next step in a campaign's run."""

    kind: Literal[Work.SUBMIT, Work.CHARGE, Work.NOISE, Work.DECRYPT, Work.VERIFY]
    campaign_id: Identifier
    run: Number

    @classmethod
    def of(cls, kind: Work, campaign_id: str, run: int) -> RunTask:
        """Raises InvalidInput for work that no run asks for."""
        return cls.parse({"kind": kind, "campaign_id": campaign_id, "run": run})


_TYPES = {Work.KEY: "key", Work.RETIRE: "key", Work.ALLOT: "allot", Work.COSIGN: "cosign"}


def _type_of(task: Any) -> str | None:
    """Jobs and campaigns share kinds: a task that names a campaign is one of campaigns."""
    fields = task if isinstance(task, dict) else dict(task)
    if fields.get("kind") not in list(Work):
        return None
    kind = Work(fields["kind"])
    if fields.get("campaign_id") is not None:
        return "campaign" if kind is Work.APPROVE else "run"
    return _TYPES.get(kind, "job" if kind is Work.APPROVE else "attempt")


Task = Annotated[
    Annotated[KeyTask, Tag("key")]
    | Annotated[AllotTask, Tag("allot")]
    | Annotated[CosignTask, Tag("cosign")]
    | Annotated[JobTask, Tag("job")]
    | Annotated[AttemptTask, Tag("attempt")]
    | Annotated[CampaignTask, Tag("campaign")]
    | Annotated[RunTask, Tag("run")],
    Discriminator(
        _type_of,
        custom_error_type="task_kind",
        custom_error_message=f"kind: one of {', '.join(Work)} is allowed",
    ),
]
"""By kind, and by whose they are, the tasks of an inbox."""


class Inbox(Message):
    """All that a site must do now, and how many milliseconds to wait before asking again.

    A task of another kind, or one that does not name its object, makes the whole inbox invalid.
    """

    TAG: ClassVar[str] = "inbox"

    tasks: tuple[Task, ...]
    wait_ms: Annotated[int, Field(ge=0)]


class Account(Message):
    """A ledger account as the site reports it to its own organization's mirror.

    ``reserved_rho`` and ``committed_rho`` hold pure charges converted; ``pure_rho`` is that part of
    both, ``pure_epsilon`` the sum of their epsilons.
    """

    dataset: Name
    unit: Unit
    allotted_epsilon: Annotated[float, Field(strict=False, ge=0)]
    allotted_delta: Annotated[float, Field(strict=False, ge=0)]
    period: str
    max_queries: int
    reserved_rho: Annotated[float, Field(strict=False, ge=0)]
    committed_rho: Annotated[float, Field(strict=False, ge=0)]
    spent_epsilon: Annotated[float, Field(strict=False, ge=0)]
    pure_rho: Annotated[float, Field(strict=False, ge=0)] = 0.0
    pure_epsilon: Annotated[float, Field(strict=False, ge=0)] = 0.0


class Charge(Message):
    """A ledger entry as the site reports it; ``rho`` holds a pure charge converted."""

    id: Identifier
    job_id: Identifier
    round: int
    attempt: int
    dataset: Name
    unit: Unit
    rho: Annotated[float, Field(strict=False, ge=0)]
    state: Literal["reserved", "committed", "returned"]
    cohort: Digest | None = None
    at: str
    pure_epsilon: Annotated[float, Field(strict=False, ge=0)] = 0.0


class Allotment(Message):
    """An organization's grant to an account over a calendar period (UTC)."""

    epsilon: Annotated[float, Field(strict=False, gt=0, le=1000)]
    delta: Annotated[float, Field(strict=False, gt=0, lt=0.5)]
    period: Literal["year", "quarter", "month", "lifetime"]
    max_queries_per_tenant: Annotated[int, Field(ge=1, le=10**9)]


class AllotmentRequest(Message):
    """A request of an organization's admin, unsigned: only the portal says who asked."""

    TAG: ClassVar[str] = "allotment-request"

    id: Identifier
    organization: Slug
    dataset: Name
    unit: Unit
    allotment: Allotment
    reason: Annotated[str, Field(min_length=1, max_length=500)]
    requested_by: Annotated[str, Field(min_length=1, max_length=254)]
    at: str


class AllotmentAsk(Message):
    """A person's request to the portal; a field that is left out stays as it is."""

    TAG: ClassVar[str] = "allotment-ask"

    dataset: Name
    unit: Unit = "record"
    epsilon: Annotated[float, Field(strict=False, gt=0, le=1000)] | None = None
    delta: Annotated[float, Field(strict=False, gt=0, lt=0.5)] | None = None
    period: Literal["year", "quarter", "month", "lifetime"] | None = None
    max_queries_per_tenant: Annotated[int, Field(ge=1, le=10**9)] | None = None
    reason: Annotated[str, Field(min_length=1, max_length=500)]

    def changes(self) -> dict[str, Any]:
        """The fields of Allotment that are given."""
        fields = self.dump()
        return {name: fields[name] for name in Allotment.model_fields if fields[name] is not None}


class AllotmentChange(Message):
    """A change of an account in the site's ledger; ``before`` is None for the first grant.

    ``request`` is the portal's request that it follows, if it does.
    """

    id: Identifier
    dataset: Name
    unit: Unit
    before: Allotment | None
    after: Allotment
    reason: str
    by: str
    at: str
    request: Identifier | None = None


class AllotmentAnswer(Message):
    """The state of a request of the portal at the site."""

    request: Identifier
    state: Literal["applied", "waiting", "declined"]
    detail: str
    at: str


class LedgerReport(Message):
    """The site's ledger, authoritative, for the mirror in its organization's schema."""

    TAG: ClassVar[str] = "ledger-report"

    organization: Slug
    sequence: Annotated[int, Field(ge=0)]
    accounts: tuple[Account, ...]
    charges: tuple[Charge, ...]
    changes: tuple[AllotmentChange, ...] = ()
    answers: tuple[AllotmentAnswer, ...] = ()
