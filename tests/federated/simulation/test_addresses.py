"""The in-memory transport answers the addresses of the portal, by the real API calls."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import httpx
import pytest
from django.urls import resolve

from federated.api.coordinator import CoordinatorAPI
from federated.errors import Conflict, InvalidInput, NotFound, Unavailable
from federated.protocol.address import Attempt
from federated.simulation.campaign_faulty import simulate_faulty, world_of
from federated.simulation.campaign_world import scenario_load
from federated.simulation.cheats import transport_of
from federated.simulation.faults import FaultShares, faults_of
from federated.simulation.network import SiteTransport
from federated.simulation.routes import Request
from federated.simulation.run import JobRun, simulate
from federated.simulation.world import Scenario, World
from federated.wire.base import encode_bytes
from federated.wire.round import DecryptionShare

DATA = Path(__file__).parents[2] / "data"
NONE = FaultShares(drop=0, delay=0, replay=0, crash=0)


@cache
def world() -> World:
    scenario = Scenario.load(DATA / "simulation_masked.yaml")
    return World.make(scenario.model_copy(update={"faults": NONE}), 4)


def asked(trace: list[str]) -> set[tuple[str, str]]:
    return {(method, path) for _, method, path, _ in map(str.split, trace)}


def test_every_address_of_a_job_is_one_of_the_portal() -> None:
    found = asked(simulate(world(), seed=1).trace)
    assert len({path.rsplit("/", 1)[-1] for _, path in found}) > 10
    for _, path in found:
        resolve(path.replace("*", "0" * 64))


def test_every_address_of_a_campaign_is_one_of_the_portal() -> None:
    scenario = scenario_load(DATA / "campaign_faults.yaml")
    assert scenario is not None
    quiet = scenario.model_copy(update={"runs": 1, "faults": NONE})
    found = asked(simulate_faulty(world_of(quiet, 4), quiet, seed=1).trace)
    assert {"submission", "noise", "share"} <= {path.rsplit("/", 1)[-1] for _, path in found}
    for _, path in found:
        resolve(path.replace("*", "0" * 64))


@pytest.fixture
def run(tmp_path: Path) -> JobRun:
    return JobRun(world(), tmp_path, seed=1, faults=faults_of(1, NONE, None))


def api_of(run: JobRun, name: str = "lakeside") -> CoordinatorAPI:
    return CoordinatorAPI.over(transport_of(run.network, run.world.parties[name].identity))


def test_errors_come_as_over_https(run: JobRun) -> None:
    api, job_id = api_of(run), run.coordinator.agreement.id
    with pytest.raises(NotFound, match="round 1/1: no such attempt") as caught:
        api.transcript(Attempt(job_id, 1, 1))
    assert caught.value.code == "not_found"
    run.coordinator._open(1, 1)
    share = DecryptionShare(
        context="0" * 64,
        cohort="0" * 64,
        organization="lakeside",
        index=1,
        partials=(encode_bytes(b"1"),),
        proof=encode_bytes(b"1"),
    )
    signed = run.world.parties["lakeside"].identity.sign(share)
    with pytest.raises(Conflict, match="takes no shares") as late:
        api.attempt_send(Attempt(job_id, 1, 1), "share", signed)
    assert late.value.code == "closed"


def test_a_lost_request_is_an_outage(run: JobRun) -> None:
    run.faults.shares = NONE.model_copy(update={"drop": 1.0})
    with pytest.raises(Unavailable, match="does not answer .ReadTimeout"):
        api_of(run).inbox()


def test_an_unchanged_inbox_is_not_sent_again(run: JobRun) -> None:
    answers: list[int] = []

    class Watched(SiteTransport):
        def handle(self, request: Request) -> httpx.Response:
            answer = super().handle(request)
            answers.append(answer.status_code)
            return answer

    api = CoordinatorAPI.over(Watched(run.network, "lakeside"))
    assert api.inbox() == api.inbox()
    assert answers == [200, 304]


def test_a_vector_is_sent_whole(run: JobRun) -> None:
    run.coordinator._open(1, 1)
    path = f"/api/jobs/{run.coordinator.agreement.id}/rounds/1/1/vectors/{'0' * 64}"
    with pytest.raises(InvalidInput, match="Content-Range"):
        api_of(run)._request("PUT", path, lambda: (iter([b"12"]), {"Content-Range": "bytes 0-1/4"}))


def test_an_address_that_no_agent_asks_is_a_defect(run: JobRun) -> None:
    transport = transport_of(run.network, run.world.parties["lakeside"].identity)
    with pytest.raises(NotImplementedError, match="/api/witnesses"):
        transport.request("POST", "/api/witnesses")
