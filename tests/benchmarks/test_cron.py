"""Schedules are crontab(5), minute by minute, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.benchmarks.cron import first_due, next_due, schedule_parse
from federated.errors import InvalidInput

MINUTE = timedelta(minutes=1)
MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905
NAMES = {
    3: {name: number for number, name in enumerate(MONTH_NAMES, start=1)},
    4: {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6},
}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


# The oracle: crontab(5) read aloud. It knows no next time, only whether a minute is due.


def values(field: str, place: int) -> set[int]:
    """Field ``place`` of crontab(5) as the numbers it lists; weekday 7 is 0."""
    found: set[int] = set()
    for item in field.lower().split(","):
        span, _, step = item.partition("/")
        if span == "*":
            first, last = RANGES[place]
        else:
            ends = [NAMES.get(place, {}).get(end) for end in span.split("-")]
            numbers = [
                int(text) if end is None else end
                for text, end in zip(span.split("-"), ends, strict=True)
            ]
            first, last = numbers[0], numbers[-1]
        found |= set(range(first, last + 1, int(step or 1)))
    return {number % 7 for number in found} if place == 4 else found


def due_minutes(text: str, start: datetime, end: datetime) -> list[datetime]:
    fields = text.split()
    minutes, hours, days, months, weekdays = (
        values(field, place) for place, field in enumerate(fields)
    )
    both = fields[2].startswith("*") or fields[4].startswith("*")
    out, moment = [], start
    while moment < end:
        of_month, of_week = moment.day in days, moment.isoweekday() % 7 in weekdays
        day = (of_month and of_week) if both else (of_month or of_week)
        if day and moment.month in months and moment.hour in hours and moment.minute in minutes:
            out.append(moment)
        moment += MINUTE
    return out


def runs(text: str, start: datetime, end: datetime) -> list[datetime]:
    schedule = schedule_parse(text)
    assert schedule is not None
    out, moment = [], start - MINUTE
    while (due := schedule.next_after(moment)) is not None and due < end:
        out.append(due)
        moment = due
    return out


@st.composite
def fields(draw: st.DrawFn, place: int) -> str:
    low, high = RANGES[place]

    def value() -> tuple[int, str]:
        number = draw(st.integers(low, high))
        names = [name for name, found in NAMES.get(place, {}).items() if found == number]
        return number, draw(st.sampled_from([str(number), f"{number:02}", *names]))

    def item() -> str:
        kind = draw(st.sampled_from(["*", "*/", "one", "range", "range/"]))
        step = draw(st.integers(1, high + 2))
        if kind[0] == "*":
            return kind if kind == "*" else f"*/{step}"
        if kind == "one":
            return value()[1]
        (first, name), (last, other) = sorted((value(), value()))
        if name.isdigit() != other.isdigit():
            name, other = str(first), str(last)
        return f"{name}-{other}" + (f"/{step}" if kind == "range/" else "")

    return ",".join(item() for _ in range(draw(st.integers(1, 3))))


EXPRESSIONS = st.tuples(*(fields(place) for place in range(5))).map(" ".join)
MONTHS = st.tuples(st.integers(2026, 2032), st.integers(1, 12))


def month(year: int, number: int) -> tuple[datetime, datetime]:
    start = datetime(year, number, 1, tzinfo=UTC)
    return start, (start + timedelta(days=32)).replace(day=1)


@given(st.tuples(*(fields(place) for place in (2, 3, 4))).map(" ".join), MONTHS)
def test_the_days_of_a_month_are_those_of_crontab(days: str, at: tuple[int, int]) -> None:
    (start, end), text = month(*at), f"15 7 {days}"
    expected = due_minutes(text, start, end)
    try:
        found = runs(text, start, end)
    except InvalidInput as error:
        assert "never due" in str(error) and expected == []
    else:
        assert found == expected


@given(EXPRESSIONS, MONTHS, st.integers(0, 28 * 86_400 - 1), st.integers(-14, 14))
def test_the_next_minute_is_strictly_later_whatever_the_zone_and_second(
    text: str, at: tuple[int, int], seconds: int, zone: int
) -> None:
    start, end = month(*at)
    moment = start + timedelta(seconds=seconds, microseconds=seconds)
    first = moment.replace(second=0, microsecond=0) + MINUTE
    expected = due_minutes(text, first, end)
    try:
        found = next_due(text, moment.astimezone(timezone(timedelta(hours=zone))))
    except InvalidInput as error:
        assert "never due" in str(error) and expected == []
        return
    assert found is not None and found.utcoffset() == timedelta(0)
    assert found == expected[0] if expected else found >= end


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0 6 */2 * 1", 3),  # odd Mondays: 1, 15, 29
        ("0 6 1-7 * */7", 1),  # Sundays among the first seven days: the 7th
        ("0 6 1-7 * 0", 10),
        ("0 6 1-7 * 7", 10),
        ("0 6 * * 7", 4),
        ("0 6 * * 0,7", 4),
        ("0 6 * * 5-7", 12),
        ("0 6 * * Mon-FRI", 23),
        ("0 6 1,15 mar 1", 5),
        ("*/20 6 1 3 *", 3),
        ("1-59/29 6 1 3 *", 3),
        ("5-5/2 6 1 3 *", 1),
        ("0-00/1,05-5/2 6 1 3 *", 2),
        ("0 6 * * Sun-SUN/2", 4),
        ("0 6 * 03-3/1 1", 5),
    ],
)
def test_runs_in_march_2027(text: str, count: int) -> None:
    found = runs(text, *month(2027, 3))
    assert len(found) == count
    assert found == due_minutes(text, *month(2027, 3))


@pytest.mark.parametrize(
    ("text", "after", "due"),
    [
        ("0 6 * * 1", "2026-11-24T09:00", "2026-11-30T06:00"),
        ("*/15 * * * *", "2026-11-24T09:15", "2026-11-24T09:30"),
        ("0 0 29 2 *", "2026-11-24T09:00", "2028-02-29T00:00"),
        ("0 0 29 2 */7", "2088-03-01T00:00", "2128-02-29T00:00"),
        ("30 4 1,15 * 5", "2026-11-24T09:00", "2026-11-27T04:30"),
        ("0 12 31 12 *", "2026-12-31T12:00", "2027-12-31T12:00"),
        # Clocks in Berlin leave out 02:00 to 03:00 on that day; UTC does not.
        ("30 2 * * *", "2027-03-28T00:00", "2027-03-28T02:30"),
        ("30 2 * * *", "2027-10-31T00:00", "2027-10-31T02:30"),
    ],
)
def test_a_schedule_is_due_next(text: str, after: str, due: str) -> None:
    moment = datetime.fromisoformat(after).replace(tzinfo=UTC)
    expected = datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert next_due(text, moment) == first_due(text, moment) == expected


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31 4 */2"])
def test_a_date_that_no_year_has_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="schedule: .* is never due: no month of it has day 3"):
        schedule_parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 6 * *", "has 4 fields"),
        ("0 0 6 * * 1", "has 6 fields"),
        ("weekly", "has 1 fields"),
        ("61 * * * *", "minute '61'; allowed is 0 to 59"),
        ("x * * * *", "minute 'x'"),
        ("0 24 * * *", "hour '24'; allowed is 0 to 23"),
        ("0 0 0 * *", "day of month '0'; allowed is 1 to 31"),
        ("0 0 1 13 *", "month '13'"),
        ("0 0 1 mon *", "month 'mon'; allowed is 1 to 12 or jan to dec"),
        ("0 0 * * 8", "day of week '8'; allowed is 0 to 7"),
        ("0 0 * * fri-mon", "day of week 'fri-mon'"),
        ("0 0 * * 1-fri", "day of week '1-fri'"),
        ("1-1-1/2 * * * *", "minute"),
        ("0 22-2 * * *", "hour '22-2'"),
        ("*/0 * * * *", "minute"),
        ("5/15 * * * *", "steps of \\* or of a range"),
        ("1-5-9 * * * *", "minute"),
        ("1,,2 * * * *", "minute"),
        ("-1 * * * *", "minute"),
        ("0 0 L * *", "day of month 'L'"),
        ("0 0 LW * *", "day of month 'LW'"),
        ("0 0 * * 1#2", "day of week"),
        ("0 0 * * 5L", "day of week"),
        ("0 0 ? * 1", "day of month"),
        ("\u0661 * * * *", "minute"),
        ("0 0 * * fr\u0131", "day of week"),
    ],
)
def test_what_crontab_does_not_define_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"^schedule: .*{reason}"):
        schedule_parse(text)
