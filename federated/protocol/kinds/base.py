"""What kinds of joint computation differ in; the rules of an attempt are theirs in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from federated.errors import Conflict, InvalidInput
from federated.protocol.agreement import AnyAgreement
from federated.protocol.attempt import State
from federated.protocol.checks import blaming
from federated.protocol.refused import Refused
from federated.wire.base import Message, Signed
from federated.wire.round import Reason
from federated.wire.site import Work


class Closed(Conflict):
    """An attempt takes no such message now."""

    code = "closed"
    title = "It is closed"


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
    spec: ClassVar[type[Message]]
    """The message that its participants agree to."""
    agreement: ClassVar[type[AnyAgreement]]
    contribution: ClassVar[str]
    """The name of the message that a participant gives, in the API and on its disk."""
    work: ClassVar[Work]
    """What a site is asked to do to give it."""
    gone: ClassVar[Reason]
    """Why a site refuses an attempt whose contributions retention has deleted."""
    changed: ClassVar[Reason]
    """Why it refuses a cohort with another contribution of its own than it sent."""
    closed: ClassVar[type[Closed]] = Closed
    """The error for a message in another state than the one that takes it."""
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

    def takes(self, spec: Any) -> bool:
        """Whether a spec is of this kind."""
        return isinstance(spec, self.spec)

    def judges(self, *, approved: Collection[str], members: Collection[str]) -> Collection[str]:
        """Who is asked for a verdict on a release, and may give one."""
        return approved

    def spec_check(self, transcript: Any, *, agreement: Any) -> None:
        """Check that a transcript shows the approved spec. Raises Refused."""
        shown, approved = transcript.agreed, agreement.spec
        if shown.digest() == agreement.digest:
            return
        epsilons = (self.epsilon(shown), self.epsilon(approved))
        changed = "; epsilon {} instead of {}".format(*epsilons)
        raise Refused(
            Reason.SPEC_CHANGED,
            f"shown spec {shown.digest()[:16]}, approved {agreement.digest[:16]}"
            + (changed if epsilons[0] != epsilons[1] else ""),
        )

    def epsilon(self, spec: Any) -> float | None:
        """The epsilon that a spec claims, if it claims one."""
        return None

    @abstractmethod
    def contribution_check(self, signed: Signed[Any], *, agreement: Any, context: Any) -> None:
        """Check a contribution's signature, context, shape and proofs.

        Raises SignatureInvalid, ProofInvalid, InvalidInput or Refused(member_unknown).
        """

    def contributions_check(
        self, given: Sequence[Signed[Any]], *, agreement: Any, context: Any
    ) -> None:
        """Check those of a cohort. Raises Refused that names what is wrong."""
        for signed in given:
            with blaming(f"{self.contribution} of {signed.body.organization}"):
                self.contribution_check(signed, agreement=agreement, context=context)

    @abstractmethod
    def cohort(self, *, context: str, members: Mapping[str, str]) -> Any:
        """The message that names the contributions which a closed attempt sums."""

    @abstractmethod
    def product(self, transcript: Any, *, agreement: Any) -> list[int]:
        """The ciphertexts that trustees decrypt, recomputed from a transcript."""

    def state_check(self, context: Any, state: Any) -> None:
        """Check that an attempt starts from ``state``, if its kind has any. Raises InvalidInput."""
        if state is not None:
            raise InvalidInput(f"a {self.name} starts from no state")

    @abstractmethod
    def release(
        self, transcript: Any, plaintexts: list[int], *, agreement: Any, state: Any, total: Any
    ) -> tuple[Any, Any]:
        """The release that decrypted sums make, and the state that follows from ``state``.

        The states are None where releases build on no earlier one. ``total`` is what travels
        beside the ciphertexts, summed. Raises InvalidInput.
        """

    @abstractmethod
    def release_compare(self, shown: Any, expected: Any) -> None:
        """Compare a release with the recomputed one. Raises InvalidInput that says what differs."""
