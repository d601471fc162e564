"""The offline verifier on bundles made in memory: only the honest ones pass."""

import copy
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federated.provenance import merkle
from federated.provenance.bundle import BundleInvalid
from federated.provenance.checkpoint import Checkpoint, VerifierKey, sign_checkpoint
from federated.provenance.events import Event, EventActor, EventSubject
from federated.provenance.verify import verify_bundle

KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
ORIGIN = "consortium/northwind"
SIZES = (2, 5)


def event(number: int) -> Event:
    return Event.build(
        id=UUID(int=number),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        tag="federation:round:closed",
        origin=ORIGIN,
        actor=EventActor(kind="system", id="rounds", name="rounds"),
        subject=EventSubject(kind="round", id=str(number)),
    )


def log(key=KEY, origin=ORIGIN) -> dict:
    leaves = [event(number).canonical() for number in range(SIZES[-1])]
    nodes: dict = {}
    for index, data in enumerate(leaves):
        merkle.append(nodes, index, merkle.leaf_hash(data))
    notes = [
        sign_checkpoint(Checkpoint(origin, size, merkle.root(nodes, size)), key) for size in SIZES
    ]
    return {
        "origin": origin,
        "verifier_key": str(VerifierKey.of(origin, key)),
        "checkpoints": notes,
        "consistency": [
            [item.hex() for item in merkle.consistency_proof(nodes, old, new)]
            for old, new in pairwise(SIZES)
        ],
        "events": [
            {
                "index": index,
                "id": str(UUID(int=index)),
                "canonical": data.decode(),
                "leaf_hash": merkle.leaf_hash(data).hex(),
                "proof": [item.hex() for item in merkle.inclusion_proof(nodes, index, SIZES[-1])],
                "row": None,
            }
            for index, data in enumerate(leaves)
        ],
    }


@pytest.fixture
def bundle() -> dict:
    one = log()
    newest = one["checkpoints"][-1]
    anchor = {
        "origin": "consortium",
        "size": SIZES[-1],
        "root": merkle.root_of([newest.encode()]).hex(),
        "notes": [newest],
        "chain_id": 7,
        "contract": "0x" + "ab" * 20,
        "tx_hash": "0x" + "cd" * 32,
        "block_number": 3,
        "block_hash": "0x" + "ef" * 32,
    }
    return {"created_at": "2026-01-01T00:00:00Z", "logs": [one], "anchors": [anchor]}


def test_an_honest_bundle_passes(bundle):
    report = verify_bundle(bundle, log_keys=[bundle["logs"][0]["verifier_key"]])
    assert report.ok, report.failures
    assert {check.status for check in report.checks} == {"ok"}


def test_an_edited_event_is_named_by_log_index_id_and_tag(bundle):
    item = bundle["logs"][0]["events"][3]
    item["canonical"] = item["canonical"].replace('"id":"3"', '"id":"4"')
    (failure,) = verify_bundle(bundle).failures
    assert failure.detail.startswith(
        f"{ORIGIN} #3 {UUID(int=3)} (federation:round:closed): edited after it was logged"
    )


def test_an_event_of_another_log_is_named(bundle):
    other = log(origin="consortium/lakeside")
    bundle["logs"].append(other)
    failures = verify_bundle(bundle).failures
    assert len(failures) == SIZES[-1]
    assert all(f"belongs to the log {ORIGIN}" in failure.detail for failure in failures)


def test_a_fork_is_noticed(bundle):
    forked = log(key=Ed25519PrivateKey.generate())
    pinned = bundle["logs"][0]["verifier_key"]
    bundle["logs"][0]["checkpoints"][0] = forked["checkpoints"][0]
    assert any("not signed by" in failure.detail for failure in verify_bundle(bundle).failures)
    honest = log()
    root = merkle.root_of([b"another history"] * 2)
    honest["checkpoints"][0] = sign_checkpoint(Checkpoint(ORIGIN, 2, root), KEY)
    bundle["logs"][0] = honest
    (failure,) = verify_bundle(bundle, log_keys=[pinned]).failures
    assert "size 5 does not extend size 2" in failure.detail


def test_a_log_given_twice_is_refused(bundle):
    bundle["logs"].append(log())
    assert [failure.name for failure in verify_bundle(bundle).failures] == ["logs"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda one: one["consistency"].clear(), "one proof between two checkpoints"),
        (lambda one: one["events"].append(one["events"][0]), "given twice"),
        (lambda one: one["events"][0].update(index=1), "not in the signed tree"),
        (lambda one: one["events"][0].update(index=99), "not in the signed tree"),
        (lambda one: one["events"][0].update(id=str(UUID(int=9))), "another id"),
        (lambda one: one.update(verifier_key="x"), "name+keyid+base64"),
        (lambda one: one.update(origin="other"), "belongs to another log"),
        (lambda one: one["checkpoints"].reverse(), "cannot go from size 5 to size 2"),
    ],
)
def test_what_fails_says_why(bundle, change, expected):
    change(bundle["logs"][0])
    assert any(expected in failure.detail for failure in verify_bundle(bundle).failures)


def places(value, path=()):
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from places(inner, (*path, key))
    yield path


def test_no_change_of_form_ever_breaks_the_verifier(bundle):
    outcomes = set()
    for path in places(bundle):
        if not path:
            continue
        for value in (None, 7, -1, 2**70, 0.5, "", "x", "é\ud800", "\n\n", [], {}, [[]], True):
            broken = copy.deepcopy(bundle)
            inner = broken
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            try:
                outcomes.add(verify_bundle(broken).ok)
            except BundleInvalid:
                outcomes.add("invalid")
    assert outcomes == {True, False, "invalid"}  # True: free text like created_at


def test_a_changed_character_anywhere_in_an_event_is_noticed(bundle):
    canonical = bundle["logs"][0]["events"][2]["canonical"]
    for place in range(len(canonical)):
        broken = copy.deepcopy(bundle)
        other = "0" if canonical[place] != "0" else "1"
        changed = canonical[:place] + other + canonical[place + 1 :]
        broken["logs"][0]["events"][2]["canonical"] = changed
        (failure,) = verify_bundle(broken).failures
        assert f"#2 {UUID(int=2)}" in failure.detail


def test_the_verifier_needs_neither_torch_nor_the_portal_nor_a_chain():
    code = (
        "import sys; import federated.provenance.verify; "
        "print([m for m in ('torch', 'django', 'web3', 'portal', 'apps') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
