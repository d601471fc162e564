"""When a campaign's schedule is due: five cron fields in UTC (crontab(5)), or ``once``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from celery.schedules import ParseException, crontab_parser

from federated.errors import InvalidInput

ONCE = "once"
YEARS_MOST = 9
"""A 29th of February on a given weekday may be so far away."""
_FIELDS = (
    ("minute", 60, 0),
    ("hour", 24, 0),
    ("day of month", 31, 1),
    ("month", 12, 1),
    ("day of week", 7, 0),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool
    """Both day fields are restricted: one of them is enough, as cron has it."""

    def next_after(self, moment: datetime) -> datetime | None:
        """The first due minute after ``moment``; None where there is none for years."""
        start = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        day = start.replace(hour=0, minute=0)
        while day.year <= start.year + YEARS_MOST:
            if day.month in self.months and self._day(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        due = day.replace(hour=hour, minute=minute)
                        if due >= start:
                            return due
            day += timedelta(days=1)
        return None

    def _day(self, day: datetime) -> bool:
        of_month = day.day in self.days
        of_week = day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week


def schedule_parse(text: str) -> Schedule | None:
    """The schedule; None for ``once``. Raises InvalidInput naming the field at fault."""
    if text == ONCE:
        return None
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise InvalidInput(
            f"schedule: {text!r} has {len(parts)} fields; allowed are five cron fields (minute, "
            f'hour, day, month, weekday; UTC) like "0 6 * * 1", or "{ONCE}"',
            field="schedule",
        )
    sets = []
    for part, (name, count, least) in zip(parts, _FIELDS, strict=True):
        try:
            sets.append(frozenset(crontab_parser(count, least).parse(part)))
        except (ParseException, ValueError) as error:
            raise InvalidInput(
                f"schedule: {name} {part!r}: {error}; allowed is {least} to {least + count - 1}, "
                "lists, ranges, * and steps",
                field="schedule",
            ) from error
    found = Schedule(*sets, either_day=parts[2] != "*" and parts[4] != "*")
    if found.next_after(datetime.now(UTC)) is None:
        raise InvalidInput(f"schedule: {text!r} is never due", field="schedule")
    return found


def first_due(text: str, now: datetime) -> datetime | None:
    """When a new campaign is first due: at once, or at the schedule's next minute."""
    schedule = schedule_parse(text)
    return now if schedule is None else schedule.next_after(now)


def next_due(text: str, now: datetime) -> datetime | None:
    """When a campaign is due after a run has opened ``now``: what was missed is not repeated."""
    schedule = schedule_parse(text)
    return None if schedule is None else schedule.next_after(now)
