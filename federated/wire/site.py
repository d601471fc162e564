"""What a site and the portal say to each other outside a round."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from federated.wire.base import Bytes, Digest, Identifier, Message, Name, Slug


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


class Work(StrEnum):
    """What a site can be asked to do."""

    KEY = "key"
    APPROVE = "approve"
    TRAIN = "train"
    CHARGE = "charge"
    DECRYPT = "decrypt"
    VERIFY = "verify"


class Task(Message):
    """One thing to do, named by the objects it concerns; the site fetches them itself."""

    kind: Work
    job_id: Identifier | None = None
    round: int | None = None
    attempt: int | None = None
    epoch: Digest | None = None


class Inbox(Message):
    """All that a site must do now, and how many milliseconds to wait before asking again."""

    TAG: ClassVar[str] = "inbox"

    tasks: tuple[Task, ...]
    wait_ms: Annotated[int, Field(ge=0)]


class Account(Message):
    """A ledger account as the site reports it to its own organization's mirror."""

    dataset: Name
    unit: Literal["record"]
    allotted_epsilon: Annotated[float, Field(strict=False, ge=0)]
    allotted_delta: Annotated[float, Field(strict=False, ge=0)]
    period: str
    max_queries: int
    reserved_rho: Annotated[float, Field(strict=False, ge=0)]
    committed_rho: Annotated[float, Field(strict=False, ge=0)]
    spent_epsilon: Annotated[float, Field(strict=False, ge=0)]


class Charge(Message):
    """A ledger entry as the site reports it."""

    id: Identifier
    job_id: Identifier
    round: int
    attempt: int
    dataset: Name
    unit: Literal["record"]
    rho: Annotated[float, Field(strict=False, ge=0)]
    state: Literal["reserved", "committed", "returned"]
    cohort: Digest | None = None
    at: str


class LedgerReport(Message):
    """The site's ledger, authoritative, for the mirror in its organization's schema."""

    TAG: ClassVar[str] = "ledger-report"

    organization: Slug
    sequence: Annotated[int, Field(ge=0)]
    accounts: tuple[Account, ...]
    charges: tuple[Charge, ...]
