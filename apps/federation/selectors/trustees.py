"""Which trustees are asked for a share, and when."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from apps.federation.models import Round

GRACE = timedelta(seconds=5)


def trustees_of(found: Round) -> list[str]:
    """The key's trustees that take part in the job, by index."""
    return found.job.agreement.serving(found.job.slugs())


def trustees_asked(found: Round) -> list[str]:
    """Whom an attempt asks for shares: as many as are needed, and soon everybody.

    A share and its check cost a third of a second, so one more than needed slows the round.
    Members of the cohort come first, for they were there a moment ago; the rounds take turns. Who
    refuses is replaced at once; who is silent, after a grace, by all.
    """
    everybody = trustees_of(found)
    if found.charged_at is None or timezone.now() >= found.charged_at + GRACE:
        return everybody
    refusing = set(found.refusals.filter(counts=True).values_list("organization", flat=True))
    turn = found.number % len(everybody)
    ordered = everybody[turn:] + everybody[:turn]
    ordered.sort(key=lambda name: name not in found.members)
    willing = [name for name in ordered if name not in refusing]
    return willing[: found.job.agreement.threshold]
