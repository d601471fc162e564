"""An attempt's rows as the protocol's rules see them."""

from __future__ import annotations

from django.utils import timezone

from apps.attempts.models import Attempt, Participant
from federated.protocol.arrival import Held, work_due
from federated.protocol.attempt import State, View, trustees_asked
from federated.wire.site import Work


def held_of(attempt: Attempt) -> Held:
    """The attempt for ``arrival_check``."""
    return Held(
        agreement=attempt.terms,
        context=attempt.wire_context,
        state=State(attempt.state),
        approved=attempt.approved,
        cohort=attempt.wire_cohort,
        noised=attempt.wire_noised,
        release=attempt.wire_release,
        name=str(attempt),
    )


def view_of(attempt: Attempt) -> View:
    """The attempt for ``advance``: of the messages, those that its state waits for."""
    held = held_of(attempt)
    terms, taken = held.agreement, held.kind.taken

    def digests(message: str) -> dict[str, str]:
        if taken.get(message) is not held.state:
            return {}
        sent = attempt.messages.filter(name=message)
        return dict(sent.values_list("organization", "digest"))

    collecting = held.state is State.COLLECTING
    return View(
        state=held.state,
        deadline=attempt.deadline.timestamp(),
        minimum=terms.minimum(held.context),
        expected=_expected(attempt) if collecting else None,
        threshold=terms.threshold,
        serving=terms.serving(held.approved),
        noising=held.kind.noising,
        contribution=held.kind.contribution,
        contributions=digests(held.kind.contribution),
        members=held.members,
        receipts=digests("receipt"),
        noise=digests("noise") if held.noised is None else held.noised.noise,
        shares=digests("share"),
        refusals={} if collecting else _refusals(attempt),
    )


def work_of(attempt: Attempt, organization: str, *, sent: set[str]) -> Work | None:
    """What an open attempt asks of an organization that has sent these messages."""
    return work_due(held_of(attempt), organization, sent=sent, asked=lambda: trustees(attempt))


def trustees(attempt: Attempt) -> list[str]:
    """The trustees that the attempt asks now."""
    since = attempt.noised_at or attempt.charged_at
    return trustees_asked(
        view_of(attempt),
        number=attempt.number,
        since=None if since is None else since.timestamp(),
        seconds=attempt.terms.seconds,
        now=timezone.now().timestamp(),
    )


def _expected(attempt: Attempt) -> int | None:
    """Contributions that complete it; None while whoever approves may still join."""
    pending = Participant.State.PENDING
    waiting = attempt.agreement.participants.filter(state=pending)
    if attempt.approvals is not None and waiting.exists():
        return None
    return len(attempt.approved)


def _refusals(attempt: Attempt) -> dict[str, str]:
    """Those that count, in words, by organization."""
    counting = attempt.messages.filter(name="refusal", counts=True)
    rows = counting.values_list("organization", "reason", "detail")
    return {name: f"{reason}: {detail}" for name, reason, detail in rows}
