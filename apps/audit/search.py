"""Finding events, and what proves one: an organization sees its own log, and its jobs' and
campaigns' events of the consortium's; an operator all of the consortium's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q

from apps.audit.selectors import events_visible, log_events_entered
from apps.common.pagination import Page, keyset_page
from apps.provenance.models import Checkpoint, Cosignature, Event
from apps.provenance.selectors import InclusionProof, LoggedEvent, events_logged, inclusion_proof
from federated.errors import Conflict, InvalidInput, NotFound
from federated.provenance.merkle import Step, inclusion_path

FIELDS = ("tag", "actor", "subject", "since", "until", "text")
LOGS = ("own", "consortium")
TEXT_MOST = 100


@dataclass(frozen=True, slots=True)
class Evidence:
    """One event with its way to the root of the newest checkpoint, if it has one yet."""

    logged: LoggedEvent
    canonical: str
    proof: InclusionProof | None
    path: list[Step]
    cosigned_by: list[str]


def event_filter(given: Mapping[str, str]) -> Q:
    """The filter of a search. Raises InvalidInput naming the field.

    ``tag`` and ``subject`` (its id) match from their beginning, ``actor`` and ``text`` anywhere;
    text is looked for in tags, subjects and actors' names, never in what an event carries.
    ``since`` is inclusive, ``until`` is not; a time without an offset is UTC.
    """
    text = {name: (given.get(name) or "").strip() for name in FIELDS}
    for name, value in text.items():
        if len(value) > TEXT_MOST or "\0" in value:
            raise InvalidInput(f"{name}: at most {TEXT_MOST} characters", field=name)
    found = Q()
    if text["tag"]:
        found &= Q(tag__startswith=text["tag"])
    if text["subject"]:
        found &= Q(subject_id__startswith=text["subject"])
    if text["actor"]:
        found &= _actor(text["actor"])
    if text["since"]:
        found &= Q(created_at__gte=_moment("since", text["since"]))
    if text["until"]:
        found &= Q(created_at__lt=_moment("until", text["until"]))
    if text["text"]:
        anywhere = Q(tag__icontains=text["text"]) | Q(subject_id__icontains=text["text"])
        found &= anywhere | Q(subject_kind__icontains=text["text"]) | _actor(text["text"])
    return found


def _actor(text: str) -> Q:
    return Q(actor__name__icontains=text) | Q(actor__organization__icontains=text)


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"{name}: {text!r} is no date or time; write 2026-01-31 or 2026-01-31T12:00",
            field=name,
        ) from error


def events_search(
    *,
    organization: str | None,
    log: str,
    given: Mapping[str, str],
    descending: bool = True,
) -> tuple[Page[Event], list[LoggedEvent]]:
    """A page of the events that match, by ``cursor`` and ``limit``, newest or oldest first.

    No organization is an operator. Raises InvalidInput for a field, cursor, limit or log.
    """
    if log not in LOGS:
        raise InvalidInput(f"log: allowed are {', '.join(LOGS)}", field="log")
    chosen = events_visible(organization=organization, log=log) & event_filter(given)
    with log_events_entered(organization=organization, log=log):
        found = Event.objects.select_related("leaf").filter(chosen)
        page = keyset_page(
            found,
            cursor=given.get("cursor"),
            limit=given.get("limit"),
            descending=descending,
        )
        return page, events_logged(page.items)


def event_evidence(*, organization: str | None, log: str, event_id: Any) -> Evidence:
    """Raises NotFound for an event that the organization may not see, too."""
    chosen = events_visible(organization=organization, log=log)
    with log_events_entered(organization=organization, log=log):
        event = Event.objects.select_related("leaf").filter(chosen, pk=event_id).first()
        if event is None:
            raise NotFound("There is no such event.")
        (logged,) = events_logged([event])
        try:
            proof = inclusion_proof(event_id=event.pk)
        except (Conflict, NotFound):
            proof = None  # No checkpoint covers it yet.
        path: list[Step] = []
        cosigned: list[str] = []
        if proof is not None:
            path = inclusion_path(proof.leaf_hash, proof.log_index, proof.size, proof.path)
            checkpoint = Checkpoint.objects.get(size=proof.size)
            rows = Cosignature.objects.filter(checkpoint=checkpoint)
            cosigned = list(rows.values_list("organization", flat=True))
        canonical = bytes(event.canonical).decode("utf-8", "replace")
        return Evidence(logged, canonical, proof, path, cosigned)
