"""Simulated campaigns: right releases among drops and cheats; the seed fixes what goes wrong."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from federated.command.main import main
from federated.errors import InvalidInput
from federated.protocol.kinds.benchmark import Benchmark
from federated.simulation.campaign_run import simulate_campaign
from federated.simulation.campaign_world import CampaignScenario, CampaignWorld, scenario_load

SPEC = Path(__file__).parents[2] / "data" / "campaign.yaml"
METRIC = {
    "key": "latency_ms",
    "unit": "ms",
    "lower": 1,
    "upper": 1000,
    "grid": "log",
    "points": 8,
    "bins": 4,
    "draw": {"kind": "lognormal", "middle": 60, "spread": 0.8},
}


def scenario(**changes) -> CampaignScenario:
    body = {"metrics": [METRIC, {**METRIC, "key": "tail_ms"}], "runs": 2, "key_bits": 512}
    body["minimum_cohort"] = 8
    return CampaignScenario.model_validate({**body, **changes})


@cache
def world() -> CampaignWorld:
    return CampaignWorld.make(scenario(), 14)


@pytest.mark.parametrize("seed", range(4))
def test_every_run_releases_exactly_votes_and_noise(seed):
    outcome = simulate_campaign(world(), seed=seed, malicious=3 * (seed % 2))
    assert outcome.violations == []
    assert {result.state for result in outcome.runs} <= {"released", "abandoned"}


def test_cheats_and_lies_are_refused_by_name():
    outcome = simulate_campaign(world(), seed=11, drop=0.0, malicious=3)
    assert outcome.violations == []
    assert sum(outcome.refused.values()) == 2 * (3 + 3 * 6)
    assert outcome.refused["noise left out: noise_missing"] == 6
    assert [result.count for result in outcome.runs] == [11, 11]


def test_under_the_minimum_nothing_is_decrypted():
    outcome = simulate_campaign(world(), seed=3, drop=0.9)
    assert {result.state for result in outcome.runs} == {"abandoned"}
    assert all(result.release is None for result in outcome.runs)


def test_a_seed_repeats_what_is_measured_and_who_drops_out():
    again = CampaignWorld.make(scenario(), 14)
    one, two = (simulate_campaign(w, seed=5).runs for w in (world(), again))
    assert [(r.state, r.count, r.measured) for r in one] == [
        (r.state, r.count, r.measured) for r in two
    ]
    assert one[0].measured != one[1].measured
    # Noise is never drawn from the seed.
    assert one[0].release.metrics[0].slots != two[0].release.metrics[0].slots


def test_a_wrong_sum_is_noticed(monkeypatch):
    real = Benchmark.product

    def without_one(kind, transcript, *, agreement):
        fewer = transcript.model_copy(update={"submissions": transcript.submissions[1:]})
        return real(kind, fewer, agreement=agreement)

    # Trustees and coordinator alike: a share of another product would be refused.
    monkeypatch.setattr(Benchmark, "product", without_one)
    outcome = simulate_campaign(world(), seed=0, drop=0.0)
    assert outcome.violations == [
        f"run {run}: {key} is not the plain sum"
        for run in (1, 2)
        for key in ("latency_ms", "tail_ms")
    ]


def test_gaussian_campaigns_play_too():
    played = CampaignWorld.make(scenario(noise="gaussian", delta=1e-6, runs=1), 9)
    assert simulate_campaign(played, seed=1, drop=0.0).violations == []


def test_sixty_organizations_from_the_command_line(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text(json.dumps({"campaign": {"metrics": [METRIC], "key_bits": 512}}))
    result = CliRunner().invoke(main, ["simulate", str(path), "--sites", "60", "--drop", "0"])
    assert result.exit_code == 0, result.output
    text = " ".join(result.output.split())
    assert "60 virtual organizations, 0 malicious, 3 of 4 trustees" in text
    assert "60 submissions" in text and "illustrative" not in text
    for name in ("mean", "std", "median", "p10", "p90"):
        assert name in text


def test_the_file_in_the_repository_is_whole():
    assert len(scenario_load(SPEC).metrics) == 2


def test_what_is_wrong_with_a_file_is_said(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text("campaign: {metrics: []}")
    with pytest.raises(InvalidInput, match="campaign.metrics: "):
        scenario_load(path)
    path.write_text("campaign: {}\nrounds: 3")
    with pytest.raises(InvalidInput, match="stands alone"):
        scenario_load(path)
    path.write_text("rounds: 3")
    assert scenario_load(path) is None
    with pytest.raises(InvalidInput, match="4 to 1000"):
        CampaignWorld.make(scenario(), 3)
    with pytest.raises(InvalidInput, match="malicious: 11 of 14"):
        simulate_campaign(world(), seed=1, malicious=11)
