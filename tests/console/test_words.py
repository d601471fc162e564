"""How the pages write numbers, times and states."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from apps.console.shared.sites import SiteRow
from apps.console.templatetags import console


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.0831, "0.0831"), (0.9999, "1.00"), (1.4142, "1.41"), (math.inf, "∞")],
)
def test_epsilon_has_three_digits(value: float, shown: str) -> None:
    assert console.epsilon(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.25, "250 ms"), (1.46, "1.5 s"), (75, "75.0 s"), (190, "3 min 10 s"), (7260, "2 h 01 min")],
)
def test_durations_take_the_unit_that_reads_best(value: float, shown: str) -> None:
    assert console.seconds(value) == shown


def test_a_small_probability_is_written_as_a_power() -> None:
    assert console.delta(1e-5) == "1e-5"
    assert console.delta(2.5e-4) == "2.5e-4"


@pytest.mark.parametrize(
    ("gone", "shown"),
    [
        (timedelta(seconds=1), "just now"),
        (timedelta(seconds=42), "42 seconds ago"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(hours=5, minutes=3), "5 hours ago"),
        (timedelta(days=2), "2 days ago"),
    ],
)
def test_past_moments_are_given_in_one_unit(
    gone: timedelta, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert console.ago(now - gone) == shown


@pytest.mark.parametrize(
    ("gone", "presence"),
    [
        (timedelta(seconds=2), "online"),
        (timedelta(minutes=5), "away"),
        (timedelta(days=1), "offline"),
        (None, "never seen"),
    ],
)
def test_an_agent_is_as_present_as_it_was_last_seen(gone: timedelta | None, presence: str) -> None:
    seen: datetime | None = None if gone is None else timezone.now() - gone
    assert SiteRow(name="a", organization="northwind", last_seen_at=seen).presence == presence


def test_states_are_escaped_and_said_in_words() -> None:
    assert console.pill("running") == '<span class="pill live">Running</span>'
    assert "&lt;b&gt;" in console.pill("<b>")
