"""One attempt at a joint computation, sans I/O: what has arrived goes in, the step due comes out.

    collecting -> charging -> [noising] -> decrypting -> released
             `----------`------------`-------------`--> abandoned

Training, joint evaluations and benchmarks are played by these rules, in the portal and in the
simulation alike. Whoever holds the attempt stores what arrives (``arrival`` says what is taken),
makes a ``View`` of it under its own lock, and does what ``advance`` says::

    match advance(view, now=time.time()):
        case Close(members):  ...   # fix the cohort, ask its members to charge
        case Charged():       ...   # ask trustees for noise, or for shares
        case Noised(noise):   ...   # fix what is decrypted, ask trustees for shares
        case Release():       ...   # combine the shares
        case Abandon(reason): ...
        case Wait():          ...   # nothing is due

Rules:

* collecting ends when everybody who may has contributed, or at the deadline. Below the attempt's
  minimum it is abandoned, uncharged.
* charging ends when every member of the cohort has charged. One refusal that counts abandons it,
  and so does the deadline: nothing is decrypted before everybody has paid.
* noising and decrypting end with ``threshold`` trustees' messages. They are abandoned as soon as
  fewer trustees are left than that, or at the deadline. A charge is never returned by it.
* A refusal counts where it names the attempt's own context and cohort.
* Each state has a deadline of its own, the agreement's ``seconds`` after it was entered.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """Where an attempt stands."""

    COLLECTING = "collecting"
    CHARGING = "charging"
    NOISING = "noising"
    DECRYPTING = "decrypting"
    RELEASED = "released"
    ABANDONED = "abandoned"


OPEN = (State.COLLECTING, State.CHARGING, State.NOISING, State.DECRYPTING)
GRACE_SECONDS = 15.0
"""So long only as many trustees are asked as are needed; or a quarter of the phase, if shorter."""
NAMED_MOST = 5


@dataclass(frozen=True)
class View:
    """What whoever plays an attempt holds of it. Moments are in seconds of one clock."""

    state: State
    deadline: float
    minimum: int
    """The least contributions that the attempt may sum."""
    expected: int | None
    """Contributions that make it complete; None while more organizations may still join."""
    threshold: int
    serving: Sequence[str]
    """The trustees that take part, by index."""
    noising: bool = False
    """Whether the trustees add noise before they decrypt."""
    contribution: str = "contribution"
    """What people call what is collected."""
    contributions: Mapping[str, str] = field(default_factory=dict)
    """Digests of the envelopes by organization; of the noise likewise."""
    members: Collection[str] = ()
    receipts: Collection[str] = ()
    noise: Mapping[str, str] = field(default_factory=dict)
    shares: Collection[str] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Those that count, in words, by organization."""


@dataclass(frozen=True)
class Wait:
    """Nothing is due."""


@dataclass(frozen=True)
class Close:
    """collecting -> charging with this cohort."""

    members: Mapping[str, str]


@dataclass(frozen=True)
class Charged:
    """charging -> ``state``: every member has charged its ledger."""

    state: State


@dataclass(frozen=True)
class Noised:
    """noising -> decrypting with the noise of these trustees and no other."""

    noise: Mapping[str, str]


@dataclass(frozen=True)
class Release:
    """There are shares enough to combine."""


@dataclass(frozen=True)
class Abandon:
    """The attempt ends without a release."""

    reason: str


Step = Wait | Close | Charged | Noised | Release | Abandon


def advance(view: View, *, now: float) -> Step:
    """The step of an attempt that is due at ``now``."""
    late = now >= view.deadline
    match view.state:
        case State.COLLECTING:
            return _collecting(view, late=late)
        case State.CHARGING:
            return _charging(view, late=late)
        case State.NOISING:
            if len(view.noise) >= view.threshold:
                return Noised(dict(view.noise))
            return _few(view, "noise", len(view.noise), late=late)
        case State.DECRYPTING:
            if len(view.shares) >= view.threshold:
                return Release()
            return _few(view, "shares", len(view.shares), late=late)
    return Wait()


def _collecting(view: View, *, late: bool) -> Step:
    if not late and len(view.contributions) != view.expected:
        return Wait()
    if len(view.contributions) < view.minimum:
        there = _named(sorted(view.contributions)) or "nobody"
        return Abandon(
            f"{len(view.contributions)} {view.contribution}s ({there}), the attempt's minimum is "
            f"{view.minimum}"
        )
    return Close(dict(view.contributions))


def _charging(view: View, *, late: bool) -> Step:
    missing = sorted(set(view.members) - set(view.receipts))
    if not missing:
        return Charged(State.NOISING if view.noising else State.DECRYPTING)
    if view.refusals:
        return Abandon(f"no charge: {_refused(view)}")
    if late:
        return Abandon(f"no charge receipt of {_named(missing)} by the deadline")
    return Wait()


def _few(view: View, what: str, given: int, *, late: bool) -> Step:
    few = f"fewer than {view.threshold} trustees ({given} of {view.threshold} {what})"
    if len(set(view.serving) - set(view.refusals)) < view.threshold:
        return Abandon(f"{few}: {_refused(view)}")
    return Abandon(f"{few} by the deadline") if late else Wait()


def _refused(view: View) -> str:
    return "; ".join(f"{name} refuses, {why}" for name, why in sorted(view.refusals.items()))[:800]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_MOST} more" if len(names) > NAMED_MOST else ""
    return ", ".join(names[:NAMED_MOST]) + more


def trustees_asked(
    view: View, *, number: int, since: float | None, seconds: float, now: float
) -> list[str]:
    """Whom an attempt asks for noise and for shares: as many as are needed, and soon everybody.

    A share and its check cost a third of a second, so one more than needed slows the attempt. Those
    whose noise is in come first when shares are asked for, else the members of the cohort: they
    were there a moment ago. The ``number`` of the release gives each trustee its turn. Who refuses
    is replaced at once; who is silent, after a grace, by all. ``since`` is when the present state
    was entered, ``seconds`` how long it may take.
    """
    everybody = list(view.serving)
    if since is None or now >= since + min(GRACE_SECONDS, seconds / 4):
        return everybody
    turn = number % max(1, len(everybody))
    ordered = everybody[turn:] + everybody[:turn]
    first: Collection[str] = view.members
    if view.noising and view.state is State.DECRYPTING:
        first = view.noise
    ordered.sort(key=lambda name: name not in first)
    return [name for name in ordered if name not in view.refusals][: view.threshold]
