"""A bundle from the database verifies offline; one made after an edit names the edited event."""

import json

import pytest
from django.db import connection
from django_tenants.utils import schema_context

from apps.provenance import selectors
from apps.provenance.models import Leaf
from apps.provenance.services import log_size
from federated.errors import NotFound
from federated.provenance.bundle import Bundle, BundleInvalid, load_bundle
from federated.provenance.verify import Check, verify_bundle
from tests.conftest import owner_role
from tests.provenance.conftest import inside, log_everything


def make() -> Bundle:
    return Bundle(created_at="2026-01-01T00:00:00Z", logs=[selectors.bundle_log()])


def tampered(statement: str, params: list) -> None:
    """Change the log as its owner would who switched the triggers off."""
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        table = statement.split()[1]
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        cursor.execute(statement, params)
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture
def event(log, record):
    for _ in range(3):
        record(3)
        log_everything()
    return record(2)[0]


def test_the_whole_log_verifies(log, event, tmp_path):
    log_everything()
    bundle = make()
    report = verify_bundle(bundle, log_keys=[selectors.log_verifier_key()])
    assert report.ok, report.failures
    assert len(bundle.logs[0].events) == log_size()
    path = tmp_path / "bundle.json"
    bundle.write(path)
    assert verify_bundle(path) == verify_bundle(json.loads(path.read_text()))
    assert verify_bundle(str(path)).ok
    assert any(
        f"all events are in the tree of size {log_size()}" in c.detail for c in report.checks
    )


def test_a_part_of_the_log_verifies(log, event):
    log_everything()
    part = selectors.bundle_log(event_ids=[event.pk], max_checkpoints=2)
    bundle = Bundle(created_at="2026-01-01T00:00:00Z", logs=[part])
    assert len(part.events) == 1
    assert len(part.checkpoints) == 2
    assert verify_bundle(bundle).ok


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("canonical", None),
        ("tag", "federation:round:abandoned"),
        ("actor", json.dumps({"kind": "user", "id": "u2", "name": "eve", "organization": None})),
        ("subject_id", "another"),
        ("at", "2020-01-01T00:00:00Z"),
    ],
)
def test_an_edited_event_is_named(log, event, column, value):
    log_everything()
    assert verify_bundle(make()).ok
    if column == "canonical":
        value = bytes(event.canonical).replace(b'"round":1', b'"round":2')
        assert value != bytes(event.canonical)
    tampered(f"UPDATE provenance_event SET {column} = %s WHERE id = %s", [value, event.pk])
    (failure,) = verify_bundle(make()).failures
    index = Leaf.objects.get(event=event).log_index
    for part in (selectors.current_origin(), f"#{index}", str(event.pk), "federation:round"):
        assert part in failure.detail
    assert "edited after it was logged" in failure.detail


@pytest.mark.parametrize("value", [b"\xff\xfe", b"{}", b"", b"[1,2"])
def test_an_event_overwritten_with_rubbish_is_named(log, event, value):
    log_everything()
    tampered("UPDATE provenance_event SET canonical = %s WHERE id = %s", [value, event.pk])
    (failure,) = verify_bundle(make()).failures
    assert str(event.pk) in failure.detail
    assert "federation:round:closed" in failure.detail


@pytest.mark.parametrize("edit", ["field", "rubbish"])
def test_a_page_opens_after_an_edit_and_marks_the_event(log, event, edit):
    log_everything()
    assert all(entry.intact for entry in selectors.events_logged(list(selectors.events())))
    changed = bytes(event.canonical).replace(b'"round":1', b'"round":2')
    value = changed if edit == "field" else b"\xff"
    tampered("UPDATE provenance_event SET canonical = %s WHERE id = %s", [value, event.pk])
    shown = selectors.events_logged(list(selectors.events()))
    (edited,) = [entry for entry in shown if not entry.intact]
    assert edited.id == edited.body.id == str(event.pk)
    assert edited.body.tag == "federation:round:closed"
    assert edited.body.actor.name == "ada@northwind.example"
    assert edited.body.time == event.at
    assert json.loads(edited.body.model_dump_json())["subject"]["id"] == event.subject_id


def test_a_rewritten_tree_does_not_extend_the_old_checkpoint(log, event):
    log_everything()
    before = make().logs[0]
    leaf = Leaf.objects.get(event=event)
    tampered("UPDATE provenance_leaf SET hash = %s WHERE id = %s", [b"\x01" * 32, leaf.pk])
    tampered(
        "UPDATE provenance_node SET hash = %s WHERE level = 0 AND index = %s",
        [b"\x01" * 32, leaf.log_index],
    )
    failures = verify_bundle(make()).failures
    assert any("not in the signed tree" in failure.detail for failure in failures)
    assert before.checkpoints == make().logs[0].checkpoints


def test_a_deleted_event_is_missed(log, event):
    log_everything()
    whole = make().logs[0]
    cut = whole.model_copy(update={"events": whole.events[:-1]})
    report = verify_bundle(Bundle(created_at="2026-01-01T00:00:00Z", logs=[cut]))
    assert report.ok
    size = log_size()
    assert any(f"{size - 1} of {size} events" in check.detail for check in report.checks)


def test_an_unpinned_key_is_said_and_a_wrong_one_fails(log, event):
    log_everything()
    bundle = make()
    report = verify_bundle(bundle)
    assert [check.status for check in report.checks if check.name.endswith(": key")] == ["skipped"]
    other = selectors.log_verifier_key()
    with inside("summit"):
        foreign = selectors.log_verifier_key()
    assert foreign != other
    # Whoever pins a key of a log that is not in the bundle has the wrong bundle.
    (failure,) = verify_bundle(bundle, log_keys=[other, foreign]).failures
    assert "no such log" in failure.detail
    pinned_other = _other_key(bundle.logs[0].origin)
    names = [check.name for check in verify_bundle(bundle, log_keys=[pinned_other]).failures]
    assert any(name.endswith(": key") for name in names)
    assert any(name.endswith(": checkpoints") for name in names)


def test_further_checks_run_and_cannot_break_the_report(log, event):
    log_everything()

    def fine(bundle):
        yield Check("rounds", "ok", f"{len(list(bundle.events()))} events seen")

    def round_product(bundle):
        yield Check("first", "ok", "")
        raise KeyError("ciphertexts")

    report = verify_bundle(make(), checks=[fine, round_product])
    assert Check("rounds", "ok", f"{log_size()} events seen") in report.checks
    assert Check("first", "ok", "") in report.checks
    assert [failure.name for failure in report.failures] == ["round product"]


def test_no_bundle_before_the_first_checkpoint(db):
    with inside("harbor"):
        from apps.provenance.models import Checkpoint

        if not Checkpoint.objects.exists():
            with pytest.raises(NotFound):
                selectors.bundle_log()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"null", b"\xff", b'{"format": 1}', b"[" * 100_000, b'{"logs": []}'],
)
def test_what_is_no_bundle_is_said_so(tmp_path, content):
    path = tmp_path / "bundle.json"
    path.write_bytes(content)
    with pytest.raises(BundleInvalid):
        load_bundle(path)
    with pytest.raises(BundleInvalid):
        verify_bundle(tmp_path / "absent.json")


def _other_key(origin: str) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from federated.provenance.checkpoint import VerifierKey

    return str(VerifierKey.of(origin, Ed25519PrivateKey.generate()))


def test_an_organizations_bundle_says_nothing_of_anothers_events(db, record):
    with schema_context("t_northwind"):
        record(2, subject=("round", "secret-of-northwind"))
        log_everything()
    with schema_context("t_lakeside"):
        record(1)
        log_everything()
        assert "secret-of-northwind" not in json.dumps(make().model_dump(mode="json"))
