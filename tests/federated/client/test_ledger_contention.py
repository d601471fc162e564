"""The site's ledger under 64 approvals at once, and killed between any two lines."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from federated.errors import BudgetExceeded
from federated.privacy.accountant import epsilon_to_rho, rho_to_epsilon
from federated.site.ledger import Ledger
from federated.site.policy import Allotment
from federated.wire.job import Cost
from tests.patience import patient

RHO = epsilon_to_rho(1.0, 1e-5) / 10
COST = Cost(dataset="heart", unit="record", rho=RHO)
SPEC, COHORT = "5" * 64, "a" * 64
FORK = multiprocessing.get_context("fork")


def granting(rho: float) -> Allotment:
    """An allotment that fits this rho, and half a percent more."""
    return Allotment(epsilon=rho_to_epsilon(rho * 1.005, 1e-4), delta=1e-4)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is some: a killed process loses no more there than on a disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else tmp_path) as at:
        yield Path(at)


def approve(ledger: Ledger, job: tuple[str, int], allotment: Allotment) -> bool:
    job_id, rounds = job
    try:
        ledger.reserve(
            job_id=job_id,
            spec=SPEC,
            proposer="northwind",
            cost=COST,
            rounds=rounds,
            allotment=allotment,
        )
    except BudgetExceeded:
        return False
    return True


def approve_all(path: Path, jobs: list[tuple[str, int]], allotment: Allotment, told) -> None:
    """One process: its jobs in threads over one ledger; every job is asked for twice."""
    with closing(Ledger(path)) as ledger, ThreadPoolExecutor(8) as pool:
        told.put(
            list(
                pool.map(
                    lambda job: (job[0], approve(ledger, job, allotment)),
                    [job for job in jobs for _ in range(2)],
                )
            )
        )


def race(path: Path, jobs: list[tuple[str, int]], allotment: Allotment) -> dict[str, bool]:
    """Four processes of threads approve 64 jobs; ``{job: whether it was ever approved}``."""
    with closing(Ledger(path)):
        pass
    told = FORK.Queue()
    workers = [
        FORK.Process(target=approve_all, args=(path, jobs[n::4], allotment, told)) for n in range(4)
    ]
    for worker in workers:
        worker.start()
    answers = [answer for _ in workers for answer in told.get(timeout=patient(120))]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return {job: any(won for name, won in answers if name == job) for job, _ in jobs}


@pytest.mark.parametrize("seed", range(16))
def test_of_64_approvals_at_once_exactly_the_10_that_fit_are_given(memory: Path, seed: int) -> None:
    jobs = [(str(uuid.uuid4()), 1) for _ in range(64)]
    random.Random(seed).shuffle(jobs)
    approved = race(memory / "ledger.sqlite", jobs, granting(10 * RHO))
    assert sum(approved.values()) == 10
    with closing(Ledger(memory / "ledger.sqlite")) as ledger:
        charges = ledger.report("northwind").charges
    assert {c.job_id for c in charges} == {job for job, won in approved.items() if won}
    assert len(charges) == 10


@pytest.mark.parametrize("seed", range(8))
def test_jobs_of_different_sizes_never_pass_the_allotment(memory: Path, seed: int) -> None:
    chance = random.Random(seed)
    jobs = [(str(uuid.uuid4()), chance.randint(1, 9)) for _ in range(64)]
    allotment = granting(40 * RHO)
    approved = race(memory / "ledger.sqlite", jobs, allotment)
    with closing(Ledger(memory / "ledger.sqlite")) as ledger:
        report = ledger.report("northwind")
    reserved = sum(rounds for job, rounds in jobs if approved[job])
    assert len(report.charges) == reserved
    assert reserved <= 40
    # No job that was refused would still fit at the end, as none was refused without need.
    assert min((rounds for job, rounds in jobs if not approved[job]), default=99) > 40 - reserved
    assert rho_to_epsilon(report.accounts[0].reserved_rho, 1e-4) <= allotment.epsilon


def whole_job(ledger: Ledger, job: str) -> None:
    """What an agent does of a job of three rounds: it reserves, charges two and ends."""
    assert approve(ledger, (job, 3), granting(4 * RHO))
    for number in (1, 2):
        ledger.commit(job_id=job, round=number, attempt=1, cohort=COHORT)
        ledger.serve(job_id=job, round=number, attempt=1, cohort=COHORT, charged=True)
    ledger.return_unused(job)


def killed_at(path: Path, line: int, act: Callable[[Ledger], None]) -> bool:
    """Whether a child that runs ``act`` was killed at the n-th line of the ledger's code."""
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame, event, argument):
            nonlocal left
            if event == "line" and "site/ledger" in frame.f_code.co_filename:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        status = 1
        try:
            ledger = Ledger(path)
            sys.settrace(trace)
            act(ledger)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_kill_anywhere_from_reserving_to_the_end_loses_and_doubles_nothing(memory: Path) -> None:
    line, killed, seen = 0, True, Counter()
    job = str(uuid.uuid4())
    while killed:
        line += 1
        path = memory / f"{line}.sqlite"
        killed = killed_at(path, line, lambda ledger: whole_job(ledger, job))
        with closing(Ledger(path)) as ledger:
            left = tuple(charge.state for charge in ledger.report("northwind").charges)
            seen[left] += 1
            # All of a reservation or nothing of it, and no charge more than was reserved.
            assert left in STEPS
            # The agent starts again and repeats what it does not know to be done.
            if left != STEPS[-1]:
                whole_job(ledger, job)
            report = ledger.report("northwind")
            assert tuple(charge.state for charge in report.charges) == STEPS[-1]
            assert report.accounts[0].committed_rho == pytest.approx(2 * RHO)
            assert report.accounts[0].reserved_rho == 0
            # What came back can be granted again, and nothing beyond it.
            assert approve(ledger, (str(uuid.uuid4()), 2), granting(4 * RHO))
            assert not approve(ledger, (str(uuid.uuid4()), 1), granting(4 * RHO))
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        path.unlink()
    assert set(seen) == set(STEPS)
    assert line > 100


STEPS = (
    (),
    ("reserved", "reserved", "reserved"),
    ("committed", "reserved", "reserved"),
    ("committed", "committed", "reserved"),
    ("committed", "committed", "returned"),
)
"""Every state of the ledger that may be found after a kill, in order."""
