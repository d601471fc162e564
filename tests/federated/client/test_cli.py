"""The command line: one line an error, no traceback, nothing secret in its arguments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from federated.command.root import main
from federated.site.folder import About, SiteHome
from federated.site.policy import Allotment
from federated.wire.job import Cost
from tests.federated.client.authority import Authority, write_private

JOB = "00000000-0000-4000-8000-000000000001"
NOWHERE = "https://127.0.0.1:1"


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=text, catch_exceptions=False)


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    made = SiteHome.create(tmp_path / "northwind")
    write_private(made.pem, Authority().admit("northwind"))
    made.about_write(About("northwind", "test", NOWHERE))
    return made


@pytest.mark.parametrize("command", ["agent", "ledger", "curve", "roster"])
def test_no_home_is_one_line(command: str, tmp_path: Path) -> None:
    done = run(command, "--home", str(tmp_path / "none"))
    assert done.exit_code == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "federated join" in done.stderr
    assert "[not_found]" in done.stderr


def test_a_token_comes_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    done = run("join", NOWHERE, "--token-file", "-", "--home", str(tmp_path / "x"), text="secret")
    assert done.exit_code == 1
    assert "must be fsc1" in done.stderr
    assert "secret" not in done.output.replace("<secret>", "")
    assert "--token " not in run("join", "--help").stdout


def test_the_ledger_is_shown(home: SiteHome) -> None:
    home.ledger.reserve(
        job_id=JOB,
        spec="5" * 64,
        proposer="summit",
        cost=Cost(dataset="heart", unit="record", rho=0.004),
        rounds=2,
        allotment=Allotment(),
    )
    home.ledger.commit(job_id=JOB, round=1, attempt=1, cohort="a" * 64)
    shown = run("ledger", "--home", str(home.path)).stdout
    assert "heart" in shown
    assert "…" not in shown
    listed = json.loads(run("ledger", "--home", str(home.path), "--json").stdout)
    assert [charge["state"] for charge in listed["charges"]] == ["committed", "reserved"]


def test_the_curve_is_shown_and_an_undefined_score_said(home: SiteHome) -> None:
    folder = home.job(JOB)
    folder.curve_add({"round": 1, "auc": 0.625, "rows": 8})
    folder.curve_add({"round": 2, "auc": None, "rows": 8})
    shown = run("curve", "--home", str(home.path), JOB).stdout
    assert "0.625" in shown
    assert "undefined" in shown


def test_the_curve_of_a_regression_shows_both_metrics_and_bars_r2(home: SiteHome) -> None:
    folder = home.job(JOB)
    folder.curve_add({"round": 1, "rows": 8, "rmse": 12.5, "r2": -0.25})
    folder.curve_add({"round": 2, "rows": 8, "rmse": 3.0, "r2": 0.5})
    shown = run("curve", "--home", str(home.path), JOB).stdout
    assert "12.500" in shown
    assert "-0.250" in shown
    assert shown.count("█") == 15


@pytest.mark.parametrize("content", ["", "{}", "[1]", "\x00", '{"format": "x"}'])
def test_what_is_no_bundle_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "bundle.json").write_text(content)
    done = run("verify", str(tmp_path / "bundle.json"))
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_an_absent_bundle_is_one_line(tmp_path: Path) -> None:
    done = run("verify", str(tmp_path / "none.json"))
    assert done.exit_code == 1
    assert len(done.stderr.splitlines()) == 1


def test_the_verifier_loads_neither_torch_nor_django() -> None:
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, federated, federated.command.root, federated.verify.rounds\n"
            "import federated.verify.chain, federated.provenance.verify\n"
            "print(sorted({'torch', 'django', 'pandas', 'apps'} & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "[]"


@pytest.fixture
def agent(home: SiteHome) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "federated.command.root", "agent", "--home", str(home.path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def test_an_agent_ends_cleanly_on_sigterm_even_while_the_coordinator_is_away(
    agent: subprocess.Popen[str], home: SiteHome
) -> None:
    assert agent.stdout is not None
    assert "agent runs" in agent.stdout.readline()
    agent.send_signal(signal.SIGTERM)
    rest = agent.stdout.read()
    assert agent.wait(30) == 0
    assert "agent stopped" in rest
    assert not home.agent_runs()


def test_bench_run_measures_and_tells(tmp_path: Path):
    arguments = ["bench", "run", "--repeats", "2", "--warmup", "0", "--energy", "none"]
    told = CliRunner().invoke(main, [*arguments, "--json", "--", sys.executable, "-S", "-c", "0"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["repeats"] == 2
    assert found["energy_method"] == "none"
    failed = CliRunner().invoke(main, [*arguments, "--", sys.executable, "-S", "-c", "import no"])
    assert failed.exit_code == 1
    assert "workload_failed" in failed.output
