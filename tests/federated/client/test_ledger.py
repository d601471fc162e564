"""The site's ledger: what is reserved, charged, bound to a cohort, and survives a kill -9."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import sys
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from federated.errors import BudgetExceeded, Conflict
from federated.privacy.accountant import epsilon_to_rho, rho_to_epsilon
from federated.protocol.refused import Refused
from federated.site.ledger import VERSION, Ledger, LedgerVersion
from federated.site.policy import Allotment
from federated.wire.job import Cost
from federated.wire.round import Reason

SPEC = "5" * 64
ONE, OTHER = "a" * 64, "b" * 64
RHO = epsilon_to_rho(1.0, 1e-5) / 10
COST = Cost(dataset="heart", unit="record", rho=RHO)
ALLOTMENT = Allotment(epsilon=8.0, delta=1e-4, period="year", max_queries_per_tenant=100)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.sqlite", now=clock)) as made:
        yield made


def reserve(ledger: Ledger, job: str | None = None, *, rounds: int = 3, **changes: object) -> str:
    job_id = job or str(uuid.uuid4())
    options = {
        "spec": SPEC,
        "proposer": "northwind",
        "cost": COST,
        "rounds": rounds,
        "allotment": ALLOTMENT,
    }
    ledger.reserve(job_id=job_id, **{**options, **changes})
    return job_id


def states(ledger: Ledger) -> list[tuple[int, int, str]]:
    return [(c.round, c.attempt, c.state) for c in ledger.report("northwind").charges]


def test_a_job_reserves_its_whole_cost_once(ledger: Ledger) -> None:
    job = reserve(ledger)
    reserve(ledger, job)
    report = ledger.report("northwind")
    assert states(ledger) == [(1, 1, "reserved"), (2, 1, "reserved"), (3, 1, "reserved")]
    assert report.accounts[0].reserved_rho == pytest.approx(3 * RHO)
    assert report.accounts[0].spent_epsilon == 0


def test_another_spec_of_a_reserved_job_is_refused(ledger: Ledger) -> None:
    job = reserve(ledger)
    with pytest.raises(Conflict, match="another spec"):
        reserve(ledger, job, spec="6" * 64)


def test_a_job_over_the_allotment_is_told_by_how_much(ledger: Ledger) -> None:
    small = ALLOTMENT.model_copy(update={"epsilon": 0.5})
    needed = rho_to_epsilon(10 * RHO, 1e-4)
    with pytest.raises(BudgetExceeded, match=f"{needed - 0.5:.3f} above the allotment") as caught:
        reserve(ledger, rounds=10, allotment=small)
    assert caught.value.fields["excess"] == pytest.approx(needed - 0.5)
    assert states(ledger) == []


def test_reservations_of_jobs_add_up(ledger: Ledger) -> None:
    tight = ALLOTMENT.model_copy(update={"epsilon": rho_to_epsilon(5 * RHO, 1e-4)})
    reserve(ledger, rounds=3, allotment=tight)
    with pytest.raises(BudgetExceeded):
        reserve(ledger, rounds=3, allotment=tight)
    reserve(ledger, rounds=2, allotment=tight)


def test_the_number_of_jobs_of_a_proposer_is_limited(ledger: Ledger) -> None:
    two = ALLOTMENT.model_copy(update={"max_queries_per_tenant": 2})
    for _ in range(2):
        reserve(ledger, rounds=1, allotment=two)
    with pytest.raises(BudgetExceeded, match="northwind has made 2 jobs this year, allowed are 2"):
        reserve(ledger, rounds=1, allotment=two)
    reserve(ledger, rounds=1, allotment=two, proposer="summit")


def test_a_commit_is_idempotent_and_bound_to_its_cohort(ledger: Ledger) -> None:
    job = reserve(ledger)
    for _ in range(2):
        assert ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE) == COST
    with pytest.raises(Refused) as caught:
        ledger.commit(job_id=job, round=1, attempt=1, cohort=OTHER)
    assert caught.value.reason is Reason.COHORT_ALREADY_SERVED
    assert states(ledger)[0] == (1, 1, "committed")
    assert ledger.charged(job, 1, 1) == ONE


def test_a_retry_of_an_uncharged_attempt_uses_the_rounds_reservation(ledger: Ledger) -> None:
    job = reserve(ledger)
    ledger.commit(job_id=job, round=1, attempt=2, cohort=ONE)
    assert states(ledger) == [(1, 2, "committed"), (2, 1, "reserved"), (3, 1, "reserved")]


def test_a_retry_of_a_charged_attempt_charges_more(ledger: Ledger) -> None:
    job = reserve(ledger)
    ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE)
    ledger.commit(job_id=job, round=1, attempt=2, cohort=OTHER)
    assert ledger.report("northwind").accounts[0].committed_rho == pytest.approx(2 * RHO)
    assert [state for *_, state in states(ledger)].count("reserved") == 2


def test_a_retry_that_does_not_fit_is_told_by_how_much(ledger: Ledger) -> None:
    exact = ALLOTMENT.model_copy(update={"epsilon": rho_to_epsilon(3 * RHO, 1e-4)})
    job = reserve(ledger, rounds=3, allotment=exact)
    ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE)
    with pytest.raises(BudgetExceeded, match="above the allotment"):
        ledger.commit(job_id=job, round=1, attempt=2, cohort=OTHER)
    ledger.commit(job_id=job, round=2, attempt=1, cohort=OTHER)


def test_an_attempt_older_than_a_charged_one_is_refused(ledger: Ledger) -> None:
    job = reserve(ledger)
    ledger.commit(job_id=job, round=1, attempt=2, cohort=ONE)
    with pytest.raises(Refused) as caught:
        ledger.commit(job_id=job, round=1, attempt=1, cohort=OTHER)
    assert caught.value.reason is Reason.ATTEMPT_SUPERSEDED


@pytest.mark.parametrize("round", [0, 4])
def test_a_round_that_was_not_reserved_is_refused(ledger: Ledger, round: int) -> None:
    job = reserve(ledger)
    with pytest.raises(Refused, match="never reserved"):
        ledger.commit(job_id=job, round=round, attempt=1, cohort=ONE)


def test_an_unknown_job_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Refused) as caught:
        ledger.commit(job_id=str(uuid.uuid4()), round=1, attempt=1, cohort=ONE)
    assert caught.value.reason is Reason.JOB_UNKNOWN


def test_the_end_of_a_job_returns_what_was_not_charged(ledger: Ledger) -> None:
    job = reserve(ledger)
    ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE)
    assert ledger.return_unused(job) == 2
    assert ledger.return_unused(job) == 0
    assert states(ledger) == [(1, 1, "committed"), (2, 1, "returned"), (3, 1, "returned")]
    assert ledger.open_jobs() == []
    with pytest.raises(Refused) as caught:
        ledger.commit(job_id=job, round=2, attempt=1, cohort=ONE)
    assert caught.value.reason is Reason.JOB_UNKNOWN
    # A charge that was committed is still known, for bytes that are asked for again.
    assert ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE) == COST
    with pytest.raises(Conflict, match="ended"):
        reserve(ledger, job)


def test_a_new_period_forgets_charges_but_no_reservations(ledger: Ledger, clock: Clock) -> None:
    tight = ALLOTMENT.model_copy(update={"epsilon": rho_to_epsilon(3 * RHO, 1e-4)})
    job = reserve(ledger, rounds=3, allotment=tight)
    ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE)
    clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    account = ledger.report("northwind").accounts[0]
    assert (account.committed_rho, account.spent_epsilon) == (0, 0)
    assert account.reserved_rho == pytest.approx(2 * RHO)
    assert ledger.lifetime_epsilon("heart", "record", 1e-4) == rho_to_epsilon(RHO, 1e-4)
    with pytest.raises(BudgetExceeded):
        reserve(ledger, rounds=2, allotment=tight)
    reserve(ledger, rounds=1, allotment=tight)


def test_one_cohort_is_served_for_an_attempt(ledger: Ledger) -> None:
    job = reserve(ledger)
    ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE)
    for _ in range(2):
        ledger.serve(job_id=job, round=1, attempt=1, cohort=ONE, charged=True)
    with pytest.raises(Refused) as caught:
        ledger.serve(job_id=job, round=1, attempt=1, cohort=OTHER, charged=False)
    assert caught.value.reason is Reason.COHORT_ALREADY_SERVED


def test_nothing_is_served_before_the_sites_own_charge(ledger: Ledger) -> None:
    job = reserve(ledger)
    with pytest.raises(Refused) as caught:
        ledger.serve(job_id=job, round=1, attempt=1, cohort=ONE, charged=True)
    assert caught.value.reason is Reason.CHARGE_MISSING


def test_an_attempt_older_than_a_served_one_is_refused(ledger: Ledger) -> None:
    job = reserve(ledger)
    ledger.serve(job_id=job, round=1, attempt=2, cohort=ONE, charged=False)
    with pytest.raises(Refused) as caught:
        ledger.serve(job_id=job, round=1, attempt=1, cohort=OTHER, charged=False)
    assert caught.value.reason is Reason.ATTEMPT_SUPERSEDED
    ledger.serve(job_id=job, round=2, attempt=1, cohort=OTHER, charged=False)


def test_the_report_has_a_sequence_that_grows_with_changes_alone(ledger: Ledger) -> None:
    job = reserve(ledger)
    first = ledger.changed(None, "northwind")
    assert first is not None
    assert ledger.changed(first.sequence, "northwind") is None
    reserve(ledger, job)
    assert ledger.changed(first.sequence, "northwind") is None
    ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE)
    second = ledger.changed(first.sequence, "northwind")
    assert second is not None
    assert second.sequence > first.sequence


def test_the_file_is_private(ledger: Ledger) -> None:
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600


def test_parallel_commits_of_one_attempt_charge_once(ledger: Ledger) -> None:
    job = reserve(ledger)

    def commit(number: int) -> str:
        cohort = f"{number % 2:064x}"
        try:
            ledger.commit(job_id=job, round=1, attempt=1, cohort=cohort)
        except Refused:
            return ""
        return cohort

    with ThreadPoolExecutor(8) as pool:
        winners = {cohort for cohort in pool.map(commit, range(32)) if cohort}
    assert winners == {ledger.charged(job, 1, 1)}
    assert [state for *_, state in states(ledger)] == ["committed", "reserved", "reserved"]


def test_parallel_reservations_never_pass_the_allotment(ledger: Ledger) -> None:
    tight = ALLOTMENT.model_copy(update={"epsilon": rho_to_epsilon(5 * RHO, 1e-4)})

    def one(_: int) -> bool:
        try:
            reserve(ledger, rounds=1, allotment=tight)
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(16))) == 5


def run_killed(path: Path, job: str, line: int) -> bool:
    """In a child: commit and serve, killed with SIGKILL at the n-th line of the ledger's code.

    Returns whether the child was killed (False: it ran to its end).
    """
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame, event, argument):  # type: ignore[no-untyped-def]
            nonlocal left
            if event == "line" and frame.f_code.co_filename.endswith("site/ledger.py"):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        try:
            sys.settrace(trace)
            ledger = Ledger(path)
            ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE)
            ledger.serve(job_id=job, round=1, attempt=1, cohort=ONE, charged=True)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a killed process loses no more there than on a disk,
    and syncs cost nothing."""
    shared = Path("/dev/shm")
    base = shared if os.access(shared, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield Path(folder)


def test_a_kill_between_any_two_lines_loses_nothing_and_charges_once(memory: Path) -> None:
    line, killed = 0, True
    seen: set[str] = set()
    while killed:
        line += 1
        path = memory / f"{line}.sqlite"
        # Closed before the fork: SQLite's connections must not cross it.
        with closing(Ledger(path)) as ledger:
            job = reserve(ledger)
        killed = run_killed(path, job, line)
        with closing(Ledger(path)) as ledger:
            seen.add(states(ledger)[0][2])
            assert len(states(ledger)) == 3
            # The agent starts again: the same calls end in the same one charge.
            assert ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE) == COST
            ledger.serve(job_id=job, round=1, attempt=1, cohort=ONE, charged=True)
            assert [state for *_, state in states(ledger)] == ["committed", "reserved", "reserved"]
            with pytest.raises(Refused):
                ledger.serve(job_id=job, round=1, attempt=1, cohort=OTHER, charged=False)
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert seen == {"reserved", "committed"}
    assert line > 30


def test_a_process_that_waits_for_another_sees_its_charge(ledger: Ledger) -> None:
    job = reserve(ledger)
    with closing(Ledger(ledger.path)) as other:
        other.commit(job_id=job, round=1, attempt=1, cohort=ONE)
    assert ledger.charged(job, 1, 1) == ONE


PURE = Cost(dataset="benchmarks", unit="organization", rho=2.0)


def test_pure_charges_are_added_where_that_says_less(ledger: Ledger) -> None:
    """Epsilon 2 as rho 2 would be 9.65 at 1e-4; four of them are 8, a fifth does not fit."""
    job = reserve(ledger, rounds=3, cost=PURE, pure_epsilon=2.0)
    reserve(ledger, rounds=1, cost=PURE, pure_epsilon=2.0)
    with pytest.raises(BudgetExceeded, match=r"2\.000 above .* 0\.000 left; it renews on 2027"):
        reserve(ledger, rounds=1, cost=PURE, pure_epsilon=2.0)
    ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE)
    (account,) = ledger.report("northwind").accounts
    assert account.spent_epsilon == 2.0
    assert (account.pure_rho, account.pure_epsilon) == (8.0, 8.0)
    assert ledger.lifetime_epsilon("benchmarks", "organization", 1e-4) == 2.0


def test_one_rounds_reservation_is_returned_once(ledger: Ledger) -> None:
    job = reserve(ledger)
    ledger.commit(job_id=job, round=1, attempt=1, cohort=ONE)
    assert not ledger.return_round(job, 1)
    assert ledger.return_round(job, 2)
    assert not ledger.return_round(job, 2)
    assert states(ledger) == [(1, 1, "committed"), (2, 1, "returned"), (3, 1, "reserved")]


def test_only_the_runs_that_are_left_are_reserved(ledger: Ledger) -> None:
    reserve(ledger, rounds=5, first=4)
    assert states(ledger) == [(4, 1, "reserved"), (5, 1, "reserved")]


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_a_new_ledger_has_its_version_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    with closing(Ledger(path)) as ledger:
        job = reserve(ledger)
    assert version_of(path) == VERSION
    with closing(Ledger(path)) as ledger:
        assert len(states(ledger)) == 3
        assert reserve(ledger, job) == job


@pytest.mark.parametrize(
    ("version", "says"),
    [(0, "version 0 of an earlier release.* new one"), (VERSION + 1, "install the release")],
    ids=["older", "newer"],
)
def test_a_ledger_of_another_release_is_refused_and_left_alone(
    tmp_path: Path, version: int, says: str
) -> None:
    path = tmp_path / "other.sqlite"
    with closing(Ledger(path)) as ledger:
        reserve(ledger)
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(LedgerVersion, match=says) as refused:
        Ledger(path)
    assert str(path) in refused.value.message
    assert path.read_bytes() == before
    assert version_of(path) == version


def test_many_threads_make_one_ledger(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    with ThreadPoolExecutor(8) as pool:
        for made in pool.map(lambda _: Ledger(path), range(8)):
            made.close()
    assert version_of(path) == VERSION
