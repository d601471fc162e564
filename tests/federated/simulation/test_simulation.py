"""Seeded runs of the whole protocol under faults and malice: right releases or clean ends."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from federated.command.main import main
from federated.errors import InvalidInput
from federated.protocol.release import release_make
from federated.simulation import home, job_coordinator
from federated.simulation.faults import FaultShares
from federated.simulation.run import Outcome, simulate
from federated.simulation.world import Scenario, World

SPEC = Path(__file__).parents[2] / "data" / "simulation.yaml"
SEEDS = range(25)


@cache
def world(sites: int = 4) -> World:
    return World.make(Scenario.load(SPEC), sites)


@cache
def played() -> list[Outcome]:
    return [simulate(world(), seed=seed, malicious=seed % 2) for seed in SEEDS]


def test_every_run_ends_in_a_right_release_or_a_clean_abandonment():
    assert {outcome.seed: outcome.violations for outcome in played() if outcome.violations} == {}
    assert {outcome.state for outcome in played()} <= {"finished", "failed"}


def test_the_seeds_meet_every_fault_and_many_attacks():
    faults = sum((outcome.faults for outcome in played()), Counter())
    assert set(faults) == {"request_lost", "answer_lost", "late", "repeated", "crash"}
    attacks = sum((outcome.refused for outcome in played()), Counter())
    assert len(attacks) >= 10
    assert any("abandoned" in line for outcome in played() for line in outcome.rounds)


@cache
def masked_world() -> World:
    return World.make(Scenario.load(SPEC).model_copy(update={"aggregation": "masked"}), 4)


@pytest.mark.parametrize("seed", range(8))
def test_masked_runs_end_right_or_cleanly_too(seed):
    outcome = simulate(masked_world(), seed=seed, malicious=seed % 2)
    assert outcome.violations == []
    assert outcome.state in ("finished", "failed")


@cache
def local_world() -> World:
    return World.make(Scenario.load(SPEC.with_name("simulation_fedprox.yaml")), 4)


@pytest.mark.parametrize("seed", range(4))
def test_runs_of_local_training_end_right_or_cleanly_too(seed):
    outcome = simulate(local_world(), seed=seed, malicious=seed % 2)
    assert outcome.violations == []
    assert outcome.state in ("finished", "failed")


def test_a_masked_sum_that_is_off_is_noticed(monkeypatch):
    def off(transcript, **options):
        release, after = release_make(transcript, **options)
        return release.model_copy(update={"sum": "0" * 64}), after

    monkeypatch.setattr(job_coordinator, "release_make", off)
    outcome = simulate(masked_world(), seed=1, drop=0)
    assert any("not the plain sum" in line for line in outcome.violations)


@pytest.mark.parametrize("seed", [3, 8])
def test_a_seed_repeats_what_happened_under_other_keys(seed):
    again = simulate(World.make(Scenario.load(SPEC), 4), seed=seed, malicious=seed % 2)
    assert again.trace == played()[seed].trace
    assert again.rounds == played()[seed].rounds
    assert again.refused == played()[seed].refused


@pytest.mark.parametrize("seed", [517, 541, 550, 604])
def test_a_site_that_was_lied_to_is_heard_again(seed):
    outcome = simulate(world(), seed=seed, malicious=1)
    assert outcome.violations == []


def test_more_sites_with_more_cheats():
    outcome = simulate(world(7), seed=11, malicious=2)
    assert outcome.violations == []


def test_a_run_without_faults_finishes_at_first_attempts():
    none = FaultShares(drop=0, delay=0, replay=0, crash=0)
    quiet = Scenario.load(SPEC).model_copy(update={"faults": none})
    outcome = simulate(World.make(quiet, 4), seed=1)
    assert (outcome.state, outcome.violations) == ("finished", [])
    assert [line.split()[1] for line in outcome.rounds] == ["1/1", "2/1"]
    assert not outcome.faults


def test_a_release_that_is_off_by_one_is_noticed(monkeypatch):
    def off(transcript, **options):
        release, after = release_make(transcript, **options)
        values = (release.values[0] + 1, *release.values[1:])
        return release.model_copy(update={"values": values}), after

    monkeypatch.setattr(job_coordinator, "release_make", off)
    outcome = simulate(world(), seed=1, drop=0)
    assert any("not the plain sum" in line for line in outcome.violations)


def test_a_ledger_that_forgets_its_charges_is_noticed(monkeypatch):
    commit = home.MortalLedger.commit

    def forgetful(self, **options):
        cost = commit(self, **options)
        self._db.execute("UPDATE charge SET state = 'reserved', cohort = NULL")
        return cost

    monkeypatch.setattr(home.MortalLedger, "commit", forgetful)
    monkeypatch.setattr(home.MortalLedger, "serve", lambda self, **options: None)
    outcome = simulate(world(), seed=1, drop=0)
    assert any("was charged" in line for line in outcome.violations)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rounds: 0", "rounds"),
        ("faults: {drop: 2}", "faults.drop"),
        ("colour: red", "colour"),
        ("[", "cannot be read"),
    ],
)
def test_a_bad_spec_is_refused_naming_its_line(tmp_path, text, told):
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=told):
        Scenario.load(path)


def test_too_many_malicious_sites_are_refused():
    with pytest.raises(InvalidInput, match="at most 1"):
        simulate(world(), seed=0, malicious=2)


def test_the_command_tells_rounds_and_a_summary():
    result = CliRunner().invoke(main, ["simulate", str(SPEC), "--seed", "1", "--malicious", "1"])
    assert result.exit_code == 0, result.output
    assert "round 1/1" in result.output
    assert "right 1" in result.output


def test_the_command_plays_many_seeds():
    result = CliRunner().invoke(main, ["simulate", str(SPEC), "--runs", "4"])
    assert result.exit_code == 0, result.output
    assert "right 4" in result.output
