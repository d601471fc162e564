"""When a campaign's schedule is due: the five cron fields of crontab(5), or ``once``.

All fields are in UTC, whatever the time zone of the machine or of a site. UTC has no daylight
saving time, so no due minute is skipped or comes twice; in local time the hour moves with it.

A field that starts with ``*`` is unrestricted, ``*/2`` too. Where either day field is unrestricted,
a day must match both; where both are restricted, a day that matches one of them is due.
``0 6 */2 * 1``: Mondays whose date is odd. ``0 6 1,15 * 1``: the 1st, the 15th and every Monday.
Sunday is 0 or 7.

CronSim finds the minutes. Its extensions (seconds, ``L``, ``#``, a step after a single number) are
refused: crontab(5) does not define them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from federated.errors import InvalidInput

ONCE = "once"
_FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31"),
    ("month", "1 to 12 or jan to dec"),
    ("day of week", "0 to 7 or sun to sat"),
)
_NUMBER, _NAME, _STEP = r"[0-9]{1,2}", r"[A-Za-z]{3}", r"/[0-9]{1,2}"
_RANGE = rf"(?:{_NUMBER}-{_NUMBER}|{_NAME}-{_NAME})(?:{_STEP})?"
_ITEM = rf"(?:\*(?:{_STEP})?|{_NUMBER}|{_NAME}|{_RANGE})"
_FIELD = re.compile(rf"{_ITEM}(?:,{_ITEM})*")
_ONE_VALUE = re.compile(rf"\b0?(\w+)-0?\1{_STEP}", re.IGNORECASE)
"""CronSim 2.8 takes ``5-5/2`` for ``5-59/2``: the step of a range of one value is left out."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Five cron fields that ``schedule_parse`` has checked."""

    fields: str

    def next_after(self, moment: datetime) -> datetime | None:
        """The first due minute after ``moment``, in UTC; None if there is none in 50 years."""
        return next(CronSim(self.fields, moment.astimezone(UTC)), None)


def schedule_parse(text: str) -> Schedule | None:
    """The schedule; None for ``once``.

    Raises InvalidInput naming the field at fault, and for a date that no year has.
    """
    if text == ONCE:
        return None
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise InvalidInput(
            f"schedule: {text!r} has {len(parts)} fields; allowed are five cron fields (minute, "
            f'hour, day, month, weekday; UTC) like "0 6 * * 1", or "{ONCE}"',
            field="schedule",
        )
    for place, (part, (name, allowed)) in enumerate(zip(parts, _FIELDS, strict=True)):
        if not _readable(part, place):
            raise InvalidInput(
                f"schedule: {name} {part!r}; allowed is {allowed}: * or numbers, lists (1,15), "
                "rising ranges (1-5), and steps of * or of a range (*/2, 1-9/2)",
                field="schedule",
            )
    schedule = Schedule(_ONE_VALUE.sub(r"\1", " ".join(parts)))
    try:
        due = schedule.next_after(datetime.now(UTC))
    except CronSimError:
        due = None
    if due is None:
        raise InvalidInput(
            f"schedule: {text!r} is never due: no month of it has day {parts[2]} (with that "
            "weekday, if one is given)",
            field="schedule",
        )
    return schedule


def _readable(part: str, place: int) -> bool:
    """Whether this is a field of crontab(5) with values in the range of this place."""
    if _FIELD.fullmatch(part) is None:
        return False
    alone = ["*"] * len(_FIELDS)
    alone[place] = part
    try:
        CronSim(" ".join(alone), datetime.now(UTC))
    except CronSimError:
        return False
    return True


def first_due(text: str, now: datetime) -> datetime | None:
    """When a new campaign is first due: at once, or at the schedule's next minute."""
    schedule = schedule_parse(text)
    return now if schedule is None else schedule.next_after(now)


def next_due(text: str, now: datetime) -> datetime | None:
    """When a campaign is due after a run has opened ``now``: what was missed is not repeated."""
    schedule = schedule_parse(text)
    return None if schedule is None else schedule.next_after(now)
