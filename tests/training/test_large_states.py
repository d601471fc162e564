"""A large model's first state comes in parts, before the job that names it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings

from apps.training import storage
from apps.training.models import Job, ModelState
from apps.training.services import states
from federated.training.server import ServerState
from tests.training.test_masked_job import code, empty_storage
from tests.training.world import INITIAL, World

__all__ = ["empty_storage"]
STATE, DIGEST = INITIAL.to_bytes(), INITIAL.digest()


def send(world: World, body: bytes, digest: str = DIGEST, by: str = "northwind", **headers: str):
    return world[by].client.put(
        f"/api/models/{digest}", body, content_type="application/octet-stream", headers=headers
    )


def propose(world: World, spec: Any, by: str = "northwind") -> Any:
    body = {"spec": world[by].sign(spec).dump(), "state": None}
    return world[by].post("jobs", json.dumps(body).encode())


def waiting() -> list[str]:
    folder = Path(settings.FSC_CONFIG.blob_dir) / "incoming"
    return sorted(path.name for path in folder.glob("state.*"))


@pytest.fixture(autouse=True)
def incoming_emptied() -> Iterator[None]:
    yield
    for name in waiting():
        (Path(settings.FSC_CONFIG.blob_dir) / "incoming" / name).unlink()


def test_in_parts_then_the_proposal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "INLINE_BYTES", 0)
    size, spec = len(STATE), world.spec()
    first = send(world, STATE[:50], **{"Content-Range": f"bytes 0-49/{size}"})
    assert (first.status_code, first.json()["received"]) == (202, 50)
    assert code(propose(world, spec)) == (422, "invalid_input")  # What came is not whole.
    assert send(world, STATE[:50], **{"Content-Range": f"bytes 0-49/{size}"}).status_code == 202
    gap = send(world, STATE[60:], **{"Content-Range": f"bytes 60-{size - 1}/{size}"})
    assert code(gap) == (409, "part_missing")
    rest = send(world, STATE[50:], **{"Content-Range": f"bytes 50-{size - 1}/{size}"})
    assert (rest.status_code, rest.json()["received"]) == (201, size)
    answers = [propose(world, spec).status_code for _ in range(2)]
    assert (answers, waiting()) == ([201, 200], [])
    row = ModelState.objects.get()
    assert (row.key, storage.state_bytes(row)) == (f"{spec.job_id}/states/{DIGEST}", STATE)
    shown = world["summit"].client.get(f"/api/models/{DIGEST}", headers={"Range": "bytes=9-"})
    assert (shown.status_code, shown.getvalue()) == (206, STATE[9:])
    assert world["harbor"].get(f"models/{DIGEST}").status_code == 404


def test_a_state_that_did_not_come(world: World) -> None:
    assert code(propose(world, world.spec())) == (422, "state_missing")
    # Another organization's is as good as none.
    assert send(world, STATE, by="summit").status_code == 201
    assert code(propose(world, world.spec())) == (422, "state_missing")
    assert not Job.objects.exists()


def test_it_stays_while_its_proposal_is_refused(world: World) -> None:
    assert send(world, STATE).status_code == 201
    spec = world.spec()
    elsewhere = spec.model_copy(update={"consortium": "elsewhere"})
    assert code(propose(world, elsewhere)) == (422, "invalid_input")
    assert waiting() == [f"state.northwind.{DIGEST}"]
    assert propose(world, spec).status_code == 201


def test_other_bytes_than_the_digests(world: World) -> None:
    answer = send(world, STATE[::-1])
    assert code(answer) == (422, "invalid_input")
    assert "its address says" in answer.json()["detail"]
    assert waiting() == []


def test_bytes_that_are_no_state(world: World) -> None:
    body = ServerState.initial(np.zeros(99)).to_bytes()
    digest = ServerState.from_bytes(body).digest()
    assert send(world, body, digest).status_code == 201
    answer = propose(world, world.spec(initial_state=digest))
    assert code(answer) == (422, "invalid_input")
    assert "99 parameters" in answer.json()["detail"]


def test_too_large(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "LARGEST_STATE_BYTES", 40)
    assert code(send(world, STATE)) == (413, "too_large")
    assert waiting() == []


def test_only_so_many_wait(world: World) -> None:
    bodies = [ServerState.initial(np.full(3, float(n))).to_bytes() for n in range(6)]
    for body in bodies:
        digest = ServerState.from_bytes(body).digest()
        assert send(world, body, digest).status_code == 201
    assert len(waiting()) == states.WAITING
