"""What is taken of a site's message for an attempt, checked in one order before it is stored.

The order: the sender, what it sent before, the state, the context, the cohort, the signature, the
proof. The same bytes again are the same request, in any state. The coordinator and the simulation
call ``arrival_check``; whoever stores under a lock repeats ``sent_before`` and ``state_check``
there, so that a close never misses what was acknowledged.

Errors, besides SignatureInvalid and ProofInvalid:

Forbidden                 another's message, or of one who may not send it
Conflict
 . Closed                 too late or too early: the attempt takes no such message now
   . CampaignClosed       the same of a campaign or its run
 . AlreadySent            other bytes than those accepted before
InvalidInput
 . ContextMismatch        bound to another attempt
 . CohortMismatch         for another cohort than the attempt's
 . ChargeMismatch         another cost than the agreement's
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from federated.errors import Conflict, Forbidden, InvalidInput
from federated.protocol.agreement import AnyAgreement
from federated.protocol.attempt import State
from federated.protocol.kinds import Kind, kind_of
from federated.protocol.kinds.base import Closed
from federated.protocol.kinds.benchmark import CampaignClosed
from federated.protocol.noise import noise_check
from federated.protocol.share import share_check
from federated.wire.base import Message, Signed
from federated.wire.campaign import NoisedCohort
from federated.wire.round import Refusal
from federated.wire.site import Work

__all__ = [
    "WORK",
    "AlreadySent",
    "CampaignClosed",
    "ChargeMismatch",
    "Closed",
    "CohortMismatch",
    "ContextMismatch",
    "Held",
    "arrival_check",
    "refusal_check",
    "refusal_counts",
    "sender_check",
    "sent_before",
    "state_check",
    "work_due",
]


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


@dataclass(frozen=True)
class Held:
    """An attempt as whoever takes messages for it holds it."""

    agreement: AnyAgreement
    context: Any
    state: State
    approved: Collection[str]
    """Who approved before the attempt opened: they may contribute, serve and judge."""
    cohort: Any = None
    noised: NoisedCohort | None = None
    release: Message | None = None
    name: str = "the attempt"
    """As people read it in an error."""

    @cached_property
    def kind(self) -> Kind:
        return kind_of(self.agreement)

    @cached_property
    def context_digest(self) -> str:
        digest: str = self.context.digest()
        return digest

    @property
    def members(self) -> Collection[str]:
        """The cohort's organizations; nobody before the close."""
        return () if self.cohort is None else self.cohort.members

    @property
    def judges(self) -> Collection[str]:
        return self.kind.judges(approved=self.approved, members=self.members)

    @property
    def decrypted(self) -> Any:
        """What shares, release and verdicts name: the cohort, with the noise where it has some."""
        return self.noised if self.kind.noising else self.cohort


_PAST = {
    State.COLLECTING: "takes no more {}s",
    State.CHARGING: "takes no charge receipts",
    State.NOISING: "takes no noise",
    State.DECRYPTING: "takes no shares",
    State.RELEASED: "has no release to judge",
}


def arrival_check(
    held: Held,
    message: str,
    signed: Signed[Any],
    *,
    sender: str,
    before: str | None,
    product: Callable[[], list[int]],
) -> bool:
    """Check a message whole. True if it is to be stored, False if the same bytes are already.

    ``message`` is its name (``Kind.taken``), ``sender`` the organization of the certificate that
    brings it, ``before`` the digest of what that one sent under this name, ``product`` computes
    the ciphertexts that trustees decrypt. Raises the errors at the top of this module.
    """
    sender_check(signed, sender=sender)
    if sent_before(held, message, signed, before=before):
        return False
    state_check(held, message)
    given = signed.body.context
    if given != held.context_digest:
        raise ContextMismatch(
            f"context: bound to {given[:16]}; {held.name} has {held.context_digest[:16]}"
        )
    if message == held.kind.contribution:
        _contribution(held, signed)
    else:
        _CHECKS[message](held, signed, product)
    return True


def sender_check(signed: Signed[Any], *, sender: str) -> None:
    """A message speaks for the organization whose certificate brings it. Raises Forbidden."""
    name = signed.body.organization
    if name != sender:
        raise Forbidden(f"The message is {name}'s; this certificate is {sender}'s.")


def sent_before(held: Held, message: str, signed: Signed[Any], *, before: str | None) -> bool:
    """Whether the sender sent these very bytes before. Raises AlreadySent for other bytes."""
    if before is None:
        return False
    digest = signed.digest()
    if before != digest:
        replaceable = held.kind.replaceable and message == held.kind.contribution
        hint = " To replace it before the close, PUT names it." if replaceable else ""
        raise AlreadySent(
            f"Another {message} of {signed.body.organization} was accepted for {held.name}: "
            f"{before[:16]}, this is {digest[:16]}. Send the same bytes again, or nothing."
            f"{hint}"
        )
    return True


def state_check(held: Held, message: str) -> None:
    """Raises Closed where the attempt's state takes no such message."""
    during = held.kind.taken[message]
    if held.state is not during:
        past = _PAST[during].format(held.kind.contribution)
        raise held.kind.closed(f"{held.name.capitalize()} is {held.state}: it {past}.")


WORK = {
    "receipt": Work.CHARGE,
    "noise": Work.NOISE,
    "share": Work.DECRYPT,
    "verdict": Work.VERIFY,
}
"""What a site is asked to do for each message but its contribution, which the kind says."""


def work_due(
    held: Held, name: str, *, sent: Collection[str], asked: Callable[[], Collection[str]]
) -> Work | None:
    """What an attempt wants of an organization now, if anything.

    ``sent`` names the messages that it has sent, a refusal that counts among them; ``asked`` says
    which trustees are asked (attempt.trustees_asked).
    """
    message = next((m for m, during in held.kind.taken.items() if during is held.state), None)
    if message is None or message in sent:
        return None
    if message == "verdict":
        wanted = name in held.judges
    elif message == held.kind.contribution:
        wanted = name in held.approved
    else:
        able = held.members if message == "receipt" else asked()
        wanted = "refusal" not in sent and name in able
    return (WORK | {held.kind.contribution: held.kind.work})[message] if wanted else None


def refusal_check(held: Held, signed: Signed[Refusal], *, sender: str) -> bool:
    """Check who refuses. True if the refusal counts: it names this very attempt and its cohort.

    It is evidence in any case, whatever the site was shown. Raises Forbidden, SignatureInvalid or
    Refused(member_unknown).
    """
    sender_check(signed, sender=sender)
    held.agreement.verify(signed)
    return refusal_counts(held, signed.body)


def refusal_counts(held: Held, refusal: Refusal) -> bool:
    """Whether a refusal names this very attempt and its cohort, not something else it was shown."""
    own = {each.digest() for each in (held.cohort, held.noised) if each is not None}
    return refusal.context == held.context_digest and refusal.cohort in own


def _contribution(held: Held, signed: Signed[Any]) -> None:
    name = signed.body.organization
    if name not in held.approved:
        raise Forbidden(
            f"{name} had not approved the {held.agreement.NOUN} when {held.name} opened: its site "
            "had reserved nothing for it."
        )
    held.kind.contribution_check(signed, agreement=held.agreement, context=held.context)


def _cohort(held: Held, given: str, expected: Message) -> None:
    digest = expected.digest()
    if given != digest:
        raise CohortMismatch(f"cohort: {given[:16]}; that of {held.name} is {digest[:16]}")


def _receipt(held: Held, signed: Signed[Any], product: Callable[[], list[int]]) -> None:
    body, cost = signed.body, held.agreement.cost
    _cohort(held, body.cohort, held.cohort)
    if body.organization not in held.cohort.members:
        raise CohortMismatch(f"{body.organization} is not in the cohort of {held.name}")
    held.agreement.verify(signed)
    if body.cost != cost:
        raise ChargeMismatch(
            f"cost: {body.cost.dataset} {body.cost.rho}; one attempt costs {cost.dataset} "
            f"{cost.rho}"
        )


def _serving(held: Held, name: str) -> None:
    if name not in held.agreement.serving(held.approved):
        raise Forbidden(f"{name} is no trustee of this {held.agreement.NOUN}'s key.")


def _noise(held: Held, signed: Signed[Any], product: Callable[[], list[int]]) -> None:
    _cohort(held, signed.body.cohort, held.cohort)
    _serving(held, signed.body.organization)
    noise_check(signed, agreement=held.agreement, cohort=held.cohort)


def _share(held: Held, signed: Signed[Any], product: Callable[[], list[int]]) -> None:
    _cohort(held, signed.body.cohort, held.decrypted)
    _serving(held, signed.body.organization)
    held.agreement.verify(signed)
    share_check(signed, agreement=held.agreement, cohort=held.decrypted, product=product())


def _verdict(held: Held, signed: Signed[Any], product: Callable[[], list[int]]) -> None:
    body = signed.body
    if body.organization not in held.judges:
        raise Forbidden(f"{body.organization} is not asked to judge {held.name}.")
    if body.agrees:
        _cohort(held, body.cohort, held.decrypted)
    held.agreement.verify(signed)
    if held.release is None:
        raise InvalidInput(f"{held.name} has no release")
    digest = held.release.digest()
    if body.agrees and body.release != digest:
        raise InvalidInput(
            f"release: agrees with {body.release[:16]}; the release is {digest[:16]}"
        )


_CHECKS = {"receipt": _receipt, "noise": _noise, "share": _share, "verdict": _verdict}
