"""What kinds of joint computation differ in; the rules of an attempt are theirs in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from federated.protocol.agreement import AnyAgreement
from federated.protocol.attempt import State
from federated.wire.base import Signed


@dataclass(frozen=True)
class Open:
    """The next attempt to open."""

    number: int
    attempt: int


@dataclass(frozen=True)
class Finish:
    """All releases that the approvals paid for have been tried: nothing follows."""


@dataclass(frozen=True)
class Fail:
    """The agreement ends without what it was for."""

    reason: str


Following = Open | Finish | Fail


class Kind(ABC):
    """One kind of joint computation; an object without state."""

    name: ClassVar[str]
    contribution: ClassVar[str]
    """The name of the message that a participant gives, in the API and on its disk."""
    noising: ClassVar[bool] = False
    """Whether the trustees add noise before they decrypt; else each contribution carries it."""
    replaceable: ClassVar[bool] = False
    """Whether a contribution may be replaced before the close, by one that names it."""
    attempts_most: ClassVar[int] = 1
    """How often one release is tried."""
    must_release: ClassVar[bool] = True
    """Whether a release that failed as often ends the agreement; else the next one is due."""

    @property
    def taken(self) -> Mapping[str, State]:
        """Which message is taken in which state. Refusals are taken in any: they are evidence."""
        noise = {"noise": State.NOISING} if self.noising else {}
        return {
            self.contribution: State.COLLECTING,
            "receipt": State.CHARGING,
            **noise,
            "share": State.DECRYPTING,
            "verdict": State.RELEASED,
        }

    def following(
        self, agreement: AnyAgreement, *, number: int, attempt: int, state: State, reason: str
    ) -> Following:
        """What follows from an attempt that has ended."""
        if state is State.ABANDONED and attempt < self.attempts_most:
            return Open(number, attempt + 1)
        if state is State.ABANDONED and self.must_release:
            return Fail(f"{agreement.RELEASE} {number} failed {attempt} times, at last: {reason}")
        return Open(number + 1, 1) if number < agreement.releases else Finish()

    @abstractmethod
    def takes(self, agreement: AnyAgreement) -> bool:
        """Whether the agreement is of this kind."""

    def judges(self, *, approved: Collection[str], members: Collection[str]) -> Collection[str]:
        """Who is asked for a verdict on a release, and may give one."""
        return approved

    @abstractmethod
    def contribution_check(self, signed: Signed[Any], *, agreement: Any, context: Any) -> None:
        """Check a contribution's signature, context, shape and proofs.

        Raises SignatureInvalid, ProofInvalid, InvalidInput or Refused(member_unknown).
        """

    @abstractmethod
    def cohort(self, *, context: str, members: Mapping[str, str]) -> Any:
        """The message that names the contributions which a closed attempt sums."""

    @abstractmethod
    def product(self, transcript: Any, *, agreement: Any) -> list[int]:
        """The ciphertexts that trustees decrypt, recomputed from a transcript."""
