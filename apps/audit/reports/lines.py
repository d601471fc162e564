"""Chooses the events that a report lists or counts; reads them once, in order, up to a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, Q

from apps.audit.reports.values import Line, LogKind, TagCount
from apps.audit.selectors import log_events_entered
from apps.provenance.models import Event
from apps.provenance.selectors import event_read
from apps.provenance.tags import Tag

Where = tuple[str, int, int]

LINES_MOST = 2500
"""Of one log; a page of more than this is read by nobody, and takes seconds to make."""

DECISIONS = frozenset(
    {
        Tag.JOB_PROPOSED,
        Tag.EPSILON_OVERRIDDEN,
        Tag.JOB_ENDORSED,
        Tag.JOB_APPROVED,
        Tag.JOB_REFUSED,
        Tag.JOB_CANCELLED,
        Tag.CAMPAIGN_CREATED,
        Tag.CAMPAIGN_CHANGED,
        Tag.CAMPAIGN_ENDORSED,
        Tag.CAMPAIGN_APPROVED,
        Tag.CAMPAIGN_DECLINED,
        Tag.CAMPAIGN_CANCELLED,
    }
)
APPROVALS = frozenset({Tag.JOB_APPROVED, Tag.CAMPAIGN_APPROVED})
RECEIPTS = frozenset({Tag.RECEIPT_ACCEPTED, Tag.RUN_RECEIPT_ACCEPTED})
RELEASES = frozenset({Tag.ROUND_RELEASED, Tag.RUN_RELEASED})
VERDICTS = frozenset({Tag.VERDICT_ACCEPTED, Tag.RUN_VERDICT_ACCEPTED})
FAILURES = frozenset(
    {
        Tag.SHARE_REFUSED,
        Tag.ROUND_ABANDONED,
        Tag.JOB_FAILED,
        Tag.RUN_REFUSED,
        Tag.RUN_ABANDONED,
    }
)
#: Of keys, sites, members, allotments, data: what later events are judged by.
CHANGES = frozenset(
    {
        *(tag for tag in Tag if tag.startswith(("aggregation:key:", "budgets:allotment:"))),
        *(tag for tag in Tag if tag.startswith(("organizations:", "accounts:member:"))),
        *(tag for tag in Tag if tag.startswith("schedules:")),
        Tag.DATASET_REGISTERED,
        Tag.DICTIONARY_REGISTERED,
        Tag.WITNESS_REGISTERED,
        Tag.CONTRIBUTIONS_EXPIRED,
        Tag.LEDGER_DIFFERS,
        Tag.USER_CREATED,
        Tag.BUNDLE_EXPORTED,
    }
)
LISTED = DECISIONS | RELEASES | FAILURES | CHANGES


@dataclass(frozen=True, slots=True)
class Read:
    """A log's part of a report. ``cut_at`` is the time of the first line left out, if any was."""

    lines: list[Line]
    counts: list[TagCount]
    cut_at: datetime | None


def log_read(chosen: Q, *, organization: str | None, log: LogKind) -> Read:
    """The chosen events of a log: those worth a line, oldest first, and all of them counted.

    Of charge receipts the organization's own get a line; the others' are counted.
    """
    listed = Q(tag__in=LISTED)
    if organization is not None:
        listed |= Q(tag__in=RECEIPTS, actor__organization=organization)
    with log_events_entered(organization=organization, log=log):
        events = Event.objects.filter(chosen)
        rows = events.filter(listed).select_related("leaf").order_by("created_at", "id")
        found = list(rows[: LINES_MOST + 1])
        counts = (
            events.order_by()
            .values("tag")
            .annotate(count=Count("pk"), first=Min("leaf__log_index"), last=Max("leaf__log_index"))
            .order_by("tag")
        )
        counted = [TagCount(log=log, **row) for row in counts]
    cut = found[LINES_MOST].created_at if len(found) > LINES_MOST else None
    lines = [_line(event, log) for event in found[:LINES_MOST]]
    return Read(lines, counted, cut)


def verdicts_read(where: Mapping[Where, Sequence[str]]) -> list[Line]:
    """The verdicts of these organizations on releases of the consortium's log: few, if any."""
    wanted = Q()
    for (identifier, _, _), names in where.items():
        wanted |= Q(subject_id=identifier, actor__organization__in=list(names))
    if not where:
        return []
    with log_events_entered(organization=None, log="consortium"):
        rows = Event.objects.filter(wanted, tag__in=VERDICTS).select_related("leaf")
        lines = [_line(event, "consortium") for event in rows.order_by("created_at", "id")]
    return [line for line in lines if line.where in where]


def _line(event: Event, log: LogKind) -> Line:
    body, intact = event_read(event)
    leaf = getattr(event, "leaf", None)
    return Line(
        log=log,
        id=str(event.pk),
        index=None if leaf is None else leaf.log_index,
        body=body,
        intact=intact,
    )
