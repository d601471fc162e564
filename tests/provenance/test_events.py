"""Events are written with the change that they tell of, into the log of the current schema."""

import pytest
from django.db import transaction

from apps.common.actor import Actor
from apps.provenance.models import Event, Leaf
from apps.provenance.services import consortium_event_record, event_record, events_record
from apps.provenance.tags import Tag
from federated.errors import InvalidInput
from federated.provenance import events as wire
from tests.provenance.conftest import ACTOR, inside


def test_an_event_carries_its_actor_subject_and_origin(log, record):
    (event,) = record(digests={"cohort": "ab" * 32}, signature="cd" * 32)
    body = wire.Event.parse(bytes(event.canonical))
    assert body.id == str(event.pk)
    assert body.tag == event.tag == "federation:round:closed"
    assert body.origin == ("consortium/northwind" if log == "t_northwind" else "consortium")
    assert body.actor == wire.EventActor(
        kind="user", id="u1", name="ada@northwind.example", organization="northwind"
    )
    assert (body.subject.kind, body.subject.id) == ("round", "0")
    assert body.digests == {"cohort": "ab" * 32}
    assert body.signature == "cd" * 32
    assert body.time == event.at
    assert event.digest == wire.digest(bytes(event.canonical))


def test_many_events_are_one_statement_and_what_each_would_be_alone(
    log, record, django_assert_num_queries
):
    entries = [
        {
            "tag": Tag.ROUND_CLOSED,
            "actor": ACTOR if number else Actor.system("rounds"),
            "subject": ("round", f'{number}\nline \\N "two"\r\u2028é'),
            "digests": {"cohort": "ab" * 32},
            "data": {"text": "Zürich \\ {}, NULL"},
            "signature": "cd" * 32 if number else None,
        }
        for number in range(3)
    ]
    alone = [event_record(**entry) for entry in entries]
    known = set(Event.objects.values_list("pk", flat=True))
    with django_assert_num_queries(1):
        assert events_record(entries) == 3
    together = list(Event.objects.exclude(pk__in=known).order_by("created_at", "id"))
    for one, other in zip(alone, together, strict=True):
        body = wire.Event.parse(bytes(other.canonical))
        assert body.model_copy(update={"id": str(one.pk), "at": body.at}) == wire.Event.parse(
            bytes(one.canonical)
        ).model_copy(update={"at": body.at})
        assert (other.tag, other.actor, other.subject_kind, other.subject_id) == (
            one.tag,
            one.actor,
            one.subject_kind,
            one.subject_id,
        )
        assert (str(other.pk), other.at) == (body.id, body.time)
        assert other.digest == wire.digest(bytes(other.canonical))


def test_of_many_events_one_that_is_wrong_writes_none(log, record):
    before = Event.objects.count()
    right = {"tag": Tag.ROUND_CLOSED, "actor": ACTOR, "subject": ("round", 1)}
    with pytest.raises(InvalidInput, match="subject"):
        events_record([right, right | {"subject": ("round", "")}])
    assert events_record([]) == 0
    assert Event.objects.count() == before


def test_logs_are_apart(db, record):
    def ids():
        return set(Event.objects.values_list("id", flat=True))

    before = ids()
    with inside("northwind"):
        (mine,) = record()
        assert mine.pk in ids()
        theirs = consortium_event_record(
            tag=Tag.ROUND_CLOSED, actor=Actor.system("rounds"), subject=("round", 1)
        )
        assert theirs.pk not in ids()
    with inside("lakeside"):
        assert mine.pk not in ids()
    assert ids() - before == {theirs.pk}
    assert wire.Event.parse(bytes(theirs.canonical)).actor.organization is None


def test_a_rolled_back_change_leaves_no_event(log, record):
    before = Event.objects.count()
    with pytest.raises(RuntimeError), transaction.atomic():
        record()
        raise RuntimeError
    assert Event.objects.count() == before


def test_recording_takes_no_place_in_the_log(log, record):
    (event,) = record()
    assert not Leaf.objects.filter(event=event).exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"digests": {"model": "not hex"}},
        {"signature": "short"},
        {"data": {"loss": float("nan")}},
        {"data": {"count": 2**60}},
        {"data": {"text": "x" * 70_000}},
        {"data": {"key": b"bytes"}},
        {"tag": "NotATag"},
        {"subject": ("round", "")},
        {"actor": Actor("user", "", "nobody")},
    ],
)
def test_what_has_no_canonical_form_is_refused(log, wrong):
    fields = {"tag": Tag.ROUND_CLOSED, "actor": ACTOR, "subject": ("round", 1)}
    before = Event.objects.count()
    with pytest.raises(InvalidInput):
        event_record(**(fields | wrong))
    assert Event.objects.count() == before


def test_every_tag_can_be_recorded(log):
    for tag in Tag:
        event_record(tag=tag, actor=ACTOR, subject=("test", 1))
    recorded = Event.objects.filter(subject_kind="test").values_list("tag", flat=True)
    assert sorted(recorded) == sorted(tag.value for tag in Tag)
