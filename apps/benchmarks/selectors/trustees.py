"""Which trustees are asked for noise, and then for shares."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from apps.benchmarks.models import Run

GRACE = timedelta(seconds=15)


def trustees_of(found: Run) -> list[str]:
    """The key's trustees that approved the campaign, by index."""
    return found.agreement.serving(found.invited)


def refusing(found: Run) -> set[str]:
    return set(found.runrefusals.filter(counts=True).values_list("organization", flat=True))


def trustees_asked(found: Run) -> list[str]:
    """Whom a run asks for noise, and then for shares: as many as are needed, all after a grace.

    More noise than t shares of it would only blur the result. Any t trustees decrypt: first those
    whose noise is in, which have the transcript, then whoever is there.
    """
    everybody = trustees_of(found)
    since = found.charged_at if found.noised is None else found.noised_at
    if since is None or timezone.now() >= since + GRACE:
        return everybody
    turn = found.number % max(1, len(everybody))
    ordered = everybody[turn:] + everybody[:turn]
    first = found.members if found.noised is None else found.noised["noise"]
    ordered.sort(key=lambda name: name not in first)
    willing = [name for name in ordered if name not in refusing(found)]
    return willing[: found.agreement.threshold]
