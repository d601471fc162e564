"""The sequencer gives events their places; checkpoints sign the tree; proofs verify."""

import psycopg
import pytest
from django.db import connection
from django.db.models import Max

from apps.provenance import keys, selectors, services, tasks
from apps.provenance.models import Checkpoint, Event, Leaf, Node
from apps.provenance.services import checkpoint_make, current_origin, log_sequence, log_size
from federated.errors import Conflict, InvalidInput, NotFound
from federated.provenance import merkle
from federated.provenance.checkpoint import verify_checkpoint
from tests.provenance.conftest import inside, log_everything


def test_places_follow_the_order_of_recording_without_gaps(log, record):
    log_everything()
    start = log_size()
    recorded = record(7)
    assert log_sequence(limit=3) == 3
    assert log_sequence(limit=100) == 4
    assert log_sequence() == 0
    leaves = Leaf.objects.filter(log_index__gte=start).order_by("log_index")
    assert [leaf.event_id for leaf in leaves] == [event.pk for event in recorded]
    assert [leaf.log_index for leaf in leaves] == list(range(start, start + 7))
    for leaf in leaves:
        assert bytes(leaf.hash) == merkle.leaf_hash(bytes(leaf.event.canonical))


def test_the_stored_tree_is_the_tree_over_all_events(log, record):
    record(11)
    log_everything()
    leaves = Leaf.objects.order_by("log_index").select_related("event")
    expected = merkle.root_of(bytes(leaf.event.canonical) for leaf in leaves)
    newest = Checkpoint.objects.latest("size")
    assert newest.size == len(leaves)
    assert bytes(newest.root) == expected
    assert Node.objects.filter(level=0).count() == len(leaves)


def test_a_checkpoint_is_a_signed_note_and_made_only_when_the_log_grew(log, record):
    record(2)
    log_everything()
    newest = selectors.checkpoint_latest()
    head = verify_checkpoint(newest.note, keys.verifier_key(current_origin()))
    assert (head.origin, head.size, head.root) == (
        current_origin(),
        log_size(),
        bytes(newest.root),
    )
    assert checkpoint_make() is None
    record()
    assert checkpoint_make() is None  # recorded, but not numbered yet
    log_sequence()
    assert checkpoint_make().size == head.size + 1


def test_every_event_has_a_proof_in_every_later_checkpoint(log, record):
    sizes = []
    for count in (1, 3, 6):
        record(count)
        log_everything()
        sizes.append(log_size())
    for leaf in Leaf.objects.all():
        for size in sizes:
            if size <= leaf.log_index:
                with pytest.raises(Conflict):
                    selectors.inclusion_proof(event_id=leaf.event_id, size=size)
                continue
            proof = selectors.inclusion_proof(event_id=leaf.event_id, size=size)
            root = bytes(Checkpoint.objects.get(size=size).root)
            merkle.InclusionVerifier(size, root).verify(proof.leaf_hash, leaf.log_index, proof.path)


def test_every_checkpoint_extends_the_earlier_ones(log, record):
    heads = []
    for count in (1, 2, 5):
        record(count)
        log_everything()
        heads.append(selectors.checkpoint_latest())
    for old in heads:
        newest, path = selectors.consistency_proof(old=old.size)
        merkle.verify_consistency(old.size, newest.size, bytes(old.root), bytes(newest.root), path)
    with pytest.raises(NotFound):
        selectors.consistency_proof(old=1, new=10**6)
    with pytest.raises(InvalidInput):
        selectors.consistency_proof(old=heads[-1].size + 1)


def test_proofs_refuse_what_is_not_there(log, record):
    (event,) = record()
    with pytest.raises(Conflict, match="no place"):
        selectors.inclusion_proof(event_id=event.pk)
    with pytest.raises(NotFound):
        selectors.inclusion_proof(event_id="00000000-0000-0000-0000-000000000000")
    log_sequence()
    if Checkpoint.objects.exists():
        with pytest.raises(Conflict, match="covers"):
            selectors.inclusion_proof(event_id=event.pk)
    else:
        with pytest.raises(NotFound):
            selectors.inclusion_proof(event_id=event.pk)


def test_the_task_serves_every_log(db, record):
    record()
    for slug in ("northwind", "summit"):
        with inside(slug):
            record(2)
    tasks.sequence()
    tasks.checkpoint()
    for schema in ("northwind", "summit"):
        with inside(schema):
            assert not Event.objects.filter(leaf=None).exists()
            assert Checkpoint.objects.aggregate(size=Max("size"))["size"] == log_size() >= 2
    assert not Event.objects.filter(leaf=None).exists()


def test_recording_does_not_wait_for_the_sequencer(log, record):
    record()
    log_sequence()  # its lock is held until this test's transaction ends
    with psycopg.connect(**connection.get_connection_params(), autocommit=False) as other:
        other.execute("SET lock_timeout = '2s'")
        other.execute(
            f"INSERT INTO {log}.provenance_event VALUES"
            " (gen_random_uuid(), now(), 'a:b', now(), '{}', 'kind', 'id', '', '')"
        )
        assert log_sequence() == 0  # nor does the sequencer wait for what is not committed
        other.rollback()


def test_a_page_shows_what_the_log_says(log, record):
    record(2, subject=("round", "page"))
    log_everything()
    late = record(subject=("round", "page"))[0]
    shown = selectors.events_logged(list(selectors.events(subject=("round", "page"))))
    assert [entry.log_index is None for entry in shown] == [True, False, False]
    assert shown[0].id == str(late.pk)
    assert shown[1].checkpoint_size == log_size()
    assert shown[1].log_index == shown[2].log_index + 1
    assert all(entry.anchor is None for entry in shown)
    assert shown[1].body.data == {"round": 1}


def test_proofs_cost_a_constant_number_of_queries(log, record, django_assert_num_queries):
    events = record(40)
    log_everything()
    selectors.inclusion_proof(event_id=events[0].pk)
    with django_assert_num_queries(3):
        selectors.inclusion_proof(event_id=events[3].pk)


def test_a_late_event_waits_for_the_next_whole_look(log, record, monkeypatch):
    log_everything()
    record(2)
    monkeypatch.setattr(services, "RECENT", -services.RECENT)
    assert log_sequence(everything=False) == 0
    assert log_sequence() == 2
