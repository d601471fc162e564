"""A job whose first state lies beside its proposal and its bundle; the limit lowered."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from federated import FederatedClient
from federated.errors import InvalidInput
from federated.provenance.bundle import load_bundle
from federated.provenance.verify import verify_bundle
from federated.verify.replay import record_of, replay_job
from federated.verify.rounds import round_checks
from federated.verify.vectors import VectorFolder
from federated.wire import record
from tests import second_verifier
from tests.federated.client.portal import SiteAtWork
from tests.federated.client.test_client import client, play, sites, submit, world

__all__ = ["client", "sites", "world"]


def test_from_the_proposal_to_the_verifiers(
    sites: dict[str, SiteAtWork],
    client: FederatedClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record, "INLINE_STATE_BYTES", 0)
    job_id = submit(client)
    proposal = next(b for p, b in client.api._http._transport.bodies if p == "/api/jobs")
    assert json.loads(proposal)["state"] is None
    job = play(sites, job_id)
    assert job.state == "finished"
    raw = client.api.bundle(job_id)
    path = tmp_path / "bundle.json"
    path.write_bytes(raw)
    bundle = load_bundle(path)
    found = record_of(bundle)
    assert found.initial_state is None
    checks = verify_bundle(path, checks=[round_checks])
    told = [check.detail for check in checks.checks if check.status == "skipped"]
    assert any("lies beside the bundle" in line for line in told)
    assert sum("the state before it was not recomputed" in line for line in told) == 2
    with pytest.raises(InvalidInput, match="lies beside the bundle"):
        replay_job(bundle)
    with pytest.raises(second_verifier.Wrong, match="folder beside"):
        second_verifier.verify(raw)
    folder = VectorFolder.create(tmp_path / "beside")
    with pytest.raises(InvalidInput, match="is not in"):
        replay_job(bundle, vectors=folder)
    assert folder.state_fill(found, client.api.model_pieces) > 0
    assert folder.state_fill(found, client.api.model_pieces) == 0
    checks = verify_bundle(path, checks=[partial(round_checks, vectors=folder)])
    assert not checks.failures
    rounds = [check for check in checks.checks if " round " in check.name]
    assert {check.status for check in rounds} == {"ok"}
    assert replay_job(bundle, vectors=folder).state.digest() == job.model_digest
    (state,) = second_verifier.verify(raw, folder.path)
    assert state.digest() == job.model_digest
    # Another model's state under the name of the pinned one.
    other = client.api.model(job.model_digest)
    folder.state_file(job.wire.initial_state).write_bytes(other)
    failed = verify_bundle(path, checks=[partial(round_checks, vectors=folder)]).failures
    assert any("initial state digest" in check.detail for check in failed)
    with pytest.raises(second_verifier.Wrong, match="another initial state"):
        second_verifier.verify(raw, folder.path)
