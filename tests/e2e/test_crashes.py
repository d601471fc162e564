"""Worker, web, database and a site are killed in the middle of a round: the job goes on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from subprocess import PIPE

import psutil
import pytest

from federated import FederatedClient
from tests.e2e.conftest import MEMBERS, SEED_TENANT, Consortium, model_file, rows, wait_for
from tests.patience import patient

SECONDS = patient(240)
ROUNDS = 4


@pytest.fixture
def client(consortium: Consortium) -> Iterator[FederatedClient]:
    client = FederatedClient(
        tenant_id=SEED_TENANT,
        coordinator_url=consortium.config.url,
        credentials=str(consortium.credentials(SEED_TENANT)),
        progress=False,
    )
    with client:
        yield client


def submit(client: FederatedClient, consortium: Consortium, **options: object) -> str:
    return client.submit_training(
        model=str(model_file(consortium.folder / "risk_model.pt")),
        local_data=rows(1),
        epochs=ROUNDS,
        **options,
    )


def released(client: FederatedClient, job_id: str) -> int:
    job = client.api.job(job_id)
    assert job["state"] in ("proposed", "queued", "running", "finished"), job["reason"]
    return sum(entry["state"] == "released" for entry in job["rounds"])


def main_process_kill(consortium: Consortium, words: tuple[str, ...]) -> None:
    """Kills the first process of the supervisor's whose command line holds these words.

    Processes come and go while the list is read, and the one found may have ended meanwhile.
    """
    assert consortium.portal is not None
    supervisor = psutil.Process(consortium.portal.pid)

    def killed() -> bool:
        for process in supervisor.children():
            with contextlib.suppress(psutil.Error):
                for found in (process, *process.children()):
                    if holds(found, words):
                        found.kill()
                        return True
        return False

    wait_for(killed, seconds=SECONDS, what=f"a process with {words}", pause=0.02)


def holds(process: psutil.Process, words: tuple[str, ...]) -> bool:
    """Whether its command line holds these words; not if it has ended."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return all(word in line for word in words)


def test_a_process_that_ends_while_it_is_looked_at_is_passed_over() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", "marked"], stdin=PIPE) as child:
        process = psutil.Process(child.pid)
        assert holds(process, ("input()", "marked")) and not holds(process, ("marked", "other"))
        child.kill()
        wait_for(lambda: process.status() == psutil.STATUS_ZOMBIE, seconds=SECONDS, what="a zombie")
        assert not holds(process, ("marked",))
    assert not process.is_running()
    assert not holds(process, ("marked",))


def charged_once(consortium: Consortium, job_id: str) -> None:
    """Every round is charged, no attempt twice."""
    for organization in MEMBERS:
        committed = consortium.committed(organization, job_id)
        assert len(set(committed)) == len(committed)
        assert {number for number, _ in committed} == set(range(1, ROUNDS + 1))


def finish(client: FederatedClient, consortium: Consortium, job_id: str) -> None:
    model = client.receive_update(job_id, timeout=SECONDS)
    assert model.round == ROUNDS
    assert model.verified
    charged_once(consortium, job_id)


@pytest.mark.parametrize(
    "words",
    [("celery", "worker"), ("gunicorn",), ("postgres", "-D")],
    ids=["worker", "web", "database"],
)
def test_a_service_is_killed_mid_round(
    consortium: Consortium, client: FederatedClient, words: tuple[str, ...]
):
    job_id = submit(client, consortium)
    wait_for(lambda: released(client, job_id) >= 1, seconds=SECONDS, what="the first release")
    main_process_kill(consortium, words)
    finish(client, consortium, job_id)


def killed_between(
    consortium: Consortium, organization: str, condition: Callable[[], bool], what: str
) -> None:
    wait_for(condition, seconds=SECONDS, what=what, pause=0.02)
    consortium.agents[organization].kill()
    consortium.agents[organization].wait()


def test_a_site_is_killed_and_comes_back(consortium: Consortium, client: FederatedClient):
    job_id = submit(client, consortium)
    killed_between(consortium, "summit", lambda: released(client, job_id) >= 1, "the first release")
    consortium.agent_start("summit")
    finish(client, consortium, job_id)


def test_a_site_that_stays_away_is_left_out_at_the_deadline(
    consortium: Consortium, client: FederatedClient
):
    # The sites that stay need a few seconds of these, on a slow machine too.
    job_id = submit(client, consortium, round_seconds=20)
    killed_between(consortium, "summit", lambda: released(client, job_id) >= 1, "the first release")
    try:
        wait_for(
            lambda: client.api.job(job_id)["state"] == "finished",
            seconds=SECONDS,
            what="the job finishes without summit",
        )
        cohorts = [
            set(entry["cohort"])
            for entry in client.api.job(job_id)["rounds"]
            if entry["state"] == "released"
        ]
        assert cohorts[-1] == {"lakeside", "northwind", SEED_TENANT}
    finally:
        consortium.agent_start("summit")
