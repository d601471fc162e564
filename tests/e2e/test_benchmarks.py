"""The seed's benchmark example through a campaign: real processes, a schedule that beat ticks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from portal.config import BASE
from tests.e2e.conftest import MEMBERS, SEED_TENANT, Consortium
from tests.e2e.test_seed import BENCHMARK, SECONDS, script

OTHERS = [name for name in MEMBERS if name != SEED_TENANT]
DRAFT = {
    "title": "Latency, throughput, energy",
    "metrics": [
        {"key": "latency_ms", "points": 16, "bins": 8},
        {"key": "throughput_ops", "points": 16, "bins": 8},
        {"key": "energy_j", "points": 16, "bins": 8},
    ],
    "epsilon": 2.0,
    "minimum_cohort": 4,
    "run_seconds": 600,
}


def test_federated_benchmarking_with_a_coordinator(
    consortium: Consortium, tmp_path: Path, environment: dict[str, str]
):
    draft = tmp_path / "draft.json"
    draft.write_text(json.dumps(DRAFT))
    campaign = consortium.manage("campaign_create", str(draft)).strip()
    changed = script(
        BENCHMARK,
        **{
            "privacy_epsilon=2.0\n": "privacy_epsilon=2.0,\n"
            f"    coordinator_url={consortium.config.url!r},\n"
            f"    credentials={str(consortium.credentials(SEED_TENANT))!r},\n",
            'tenant_id="site_a"': f'tenant_id="{SEED_TENANT}"',
            "get_summary()": f"get_summary(timeout={SECONDS})",
        },
    )
    seeds = subprocess.Popen(
        [sys.executable, "-c", changed],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(BASE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        # The run opens once the seed's own agent, which runs in the script, has approved.
        wait_for_run(consortium, campaign)
        for position, name in enumerate(OTHERS):
            shown = consortium.federated(
                *("bench", "submit", "--home", str(consortium.home(name)), "--yes"),
                *(f"latency_ms={40 + position}", "throughput_ops=12000", "energy_j=300"),
            )
            assert "submitted to run 1" in shown
        output, _ = seeds.communicate(timeout=SECONDS)
    finally:
        seeds.kill()
    assert seeds.returncode == 0, output
    assert "Mean latency: " in output
    assert "Median throughput: " in output
    bundle = tmp_path / "bundle.json"
    home = str(consortium.home("northwind"))
    consortium.federated("bundle", "--home", home, campaign, "-o", str(bundle))
    assert "checks hold" in consortium.federated("verify", str(bundle))
    standing = json.loads(consortium.federated("bench", "standing", "--home", home, "--json"))
    assert [row["key"] for row in standing] == ["latency_ms", "throughput_ops", "energy_j"]


def wait_for_run(consortium: Consortium, campaign: str) -> None:
    from portal.demo.stage import wait_for

    home = str(consortium.home("northwind"))

    def opened() -> bool:
        listed = json.loads(consortium.federated("bench", "campaigns", "--home", home, "--json"))
        return any(row["campaign_id"] == campaign and row["open_run"] for row in listed)

    wait_for(opened, seconds=SECONDS, what="the run opens", pause=1.0)
