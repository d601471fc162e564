"""No service that changes rows goes without an event, by reading the services' source.

A change counts as told if the function, or one that it calls in any service module, records an
event; a private step (``_name``) also if all that call it do.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

APPS = Path(__file__).parents[2] / "apps"
RECORDS = {"event_record", "events_record", "consortium_event_record"}
WRITES = {
    "bulk_create",
    "bulk_update",
    "create",
    "delete",
    "get_or_create",
    "save",
    "update",
    "update_or_create",
}
ALLOWED = {
    "checkpoint_make": "signs the log's head; the signed note is the record",
    "cosignature_accept": "an event for each would grow the log and ask for the next cosignature",
    "_final_note": "the same",
    "vectors_sum": "keeps parts of a sum that anyone recomputes from the stored vectors",
    "_parts_make": "the same",
    "_part_claim": "the same",
    "sum_parts_sweep": "the same",
    "_verification_note": "a verification's checks so far; asking and the result are told",
    "_verification_beat": "who verifies now",
    "attempt_claim": "a state that whoever claims it tells of",
    "_claim": "a state that whoever claims it tells of, or what a job waits for",
    "over": "that no run is due any more, which follows from the campaign's end",
    "lease_take": "which worker combines shares for the next seconds",
    "participants_make": "the parts of a spec, whose proposal or change is told",
    "campaign_wait": "says what a campaign waits for, which follows from logged answers",
    "round_sum": "keeps a product that anyone recomputes from the logged contributions",
}


def called(function: ast.FunctionDef) -> set[str]:
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            target = node.func
            if isinstance(target, ast.Attribute):
                names.add(target.attr)
            elif isinstance(target, ast.Name):
                names.add(target.id)
    return names


def writes(function: ast.FunctionDef) -> bool:
    """Whether it calls a writing method of something; a digest's or a dictionary's `update` is
    told from a query's by the keyword arguments that a query's needs."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in WRITES
        and (node.func.attr != "update" or node.keywords)
        for node in ast.walk(function)
    )


def functions(sources: dict[str, str]) -> dict[str, ast.FunctionDef]:
    found: dict[str, ast.FunctionDef] = {}
    for source in sources.values():
        body = ast.parse(source).body
        # What an app does in its own way stands in the methods of its kinds.
        kinds = (node for node in body if isinstance(node, ast.ClassDef))
        for node in [*body, *(method for kind in kinds for method in kind.body)]:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = node
    return found


def untold(sources: dict[str, str]) -> set[str]:
    found = functions(sources)
    calls = {name: called(node) for name, node in found.items()}

    def records(name: str, seen: set[str]) -> bool:
        if name in RECORDS:
            return True
        seen.add(name)
        return any(records(c, seen) for c in calls.get(name, ()) if c not in seen)

    told = {name for name in found if records(name, set())}
    alone = {name for name, node in found.items() if writes(node) and name not in told}
    # A private step of one or more services: each that calls it has to tell.
    steps = {
        name
        for name in alone
        if name.startswith("_")
        and (callers := {other for other in calls if name in calls[other]})
        and callers <= told
    }
    return alone - steps


def sources() -> dict[str, str]:
    paths = [
        *APPS.glob("*/services.py"),
        *APPS.glob("*/services/*.py"),
        APPS / "provenance" / "witnesses.py",
        APPS / "audit" / "verification.py",
    ]
    return {str(path.relative_to(APPS)): path.read_text() for path in paths}


def test_every_service_that_changes_rows_records_an_event() -> None:
    assert untold(sources()) == set(ALLOWED)


@pytest.mark.parametrize(
    "silent",
    [
        "def job_rename(*, job):\n    job.save()\n",
        "def job_rename(*, job):\n    Job.objects.filter(pk=job.pk).update(name='x')\n",
        "def job_rename(*, job):\n    _rename(job)\n\ndef _rename(job):\n    job.delete()\n",
    ],
)
def test_a_silent_service_is_found(silent: str) -> None:
    assert untold({**sources(), "silent.py": silent}) - set(ALLOWED)


def test_the_walk_covers_the_services() -> None:
    walked = sources()
    assert len(walked) > 8
    assert sum(writes(node) for node in functions(walked).values()) > 30
