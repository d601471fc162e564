"""The seed's three examples and its YAML run as written; only machine paths and the URL change."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from portal.config import BASE, Config
from portal.up.service import wait_until
from tests.e2e.conftest import SEED_TENANT, Consortium, model_file, rows
from tests.patience import patient
from tests.portal.processes import answers, processes_of
from tests.ports import free_port

SERVICE = """
from federated import FederatedService, PrivacyConfig

service = FederatedService(
    privacy_config=PrivacyConfig(
        epsilon=1.0,  # DP privacy budget
        delta=1e-5,
        mechanism="gaussian"
    ),
    blockchain_enabled=True
)

service.start(port=8080)
"""
CLIENT = """
from federated import FederatedClient

client = FederatedClient(
    tenant_id="org_12345",
    coordinator_url="https://federated.quasim.org",
    credentials="path/to/cert.pem"
)

# Submit local training job
job_id = client.submit_training(
    model="verticals/finance/models/risk_model.pt",
    local_data="private/market_data.parquet",
    epochs=10
)

# Receive aggregated model without sharing raw data
global_model = client.receive_update(job_id)
"""
BENCHMARK = """
from federated import BenchmarkAggregator

aggregator = BenchmarkAggregator(
    metrics=["latency", "throughput", "energy"],
    privacy_epsilon=2.0
)

# Each tenant submits private benchmarks
aggregator.submit(
    tenant_id="site_a",
    benchmark_results={
        "latency_ms": 42.5,
        "throughput_ops": 15000,
        "energy_j": 320.0
    }
)

# Get differentially private aggregate statistics
summary = aggregator.get_summary()
print(f"Mean latency: {summary['latency_ms']['mean']} ms")
print(f"Median throughput: {summary['throughput_ops']['median']} ops/s")
"""
CONFIGURATION = """
federated:
  coordinator:
    bind_address: "0.0.0.0:8080"
    tls_cert: "/etc/certs/server.crt"
    tls_key: "/etc/certs/server.key"
  
  privacy:
    default_epsilon: 1.0
    default_delta: 1e-5
    max_queries_per_tenant: 100
  
  blockchain:
    enabled: true
    network: "quasim_provenance"
    consensus: "proof_of_authority"
"""
SECONDS = patient(240)


def script(text: str, **changes: str) -> str:
    """The example with each of these texts changed, which must be there."""
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    return text


def test_the_examples_are_the_seeds_own():
    seeds = BASE.parent / "shared" / "seeds"
    if not seeds.is_dir():
        pytest.skip("the seed's text is not beside this checkout")
    seed = "".join(path.read_text() for path in seeds.glob("*.txt"))
    for example in (SERVICE, CLIENT, BENCHMARK, CONFIGURATION):
        assert example.strip() in seed


def test_start_federated_service(tmp_path: Path, environment: dict[str, str]):
    port = free_port()
    state = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", script(SERVICE, **{"port=8080": f"port={port}"})],
        cwd=BASE,
        env=environment | {"FSC_STATE": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + SECONDS
        while not answers(port):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
        page = httpx.get(f"https://127.0.0.1:{port}/accounts/login/", verify=False)
        assert page.status_code == 200
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert wait_until(lambda: processes_of(state) == [], patient(10))


def test_join_federation_as_tenant(
    consortium: Consortium, tmp_path: Path, environment: dict[str, str]
):
    model_file(tmp_path / "verticals/finance/models/risk_model.pt")
    private = tmp_path / "private"
    private.mkdir()
    rows(1).to_parquet(private / "market_data.parquet")
    changed = script(
        CLIENT,
        **{
            "https://federated.quasim.org": consortium.config.url,
            "path/to/cert.pem": str(consortium.credentials(SEED_TENANT)),
        },
    )
    shown = "\nprint('ROUND', global_model.round, global_model.verified, job_id)\nclient.close()\n"
    done = subprocess.run(
        [sys.executable, "-c", changed + shown],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(BASE)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert "ROUND 10 True" in done.stdout, done.stdout + done.stderr
    job_id = done.stdout.split()[-1]
    for organization in ("northwind", SEED_TENANT):
        committed = consortium.committed(organization, job_id)
        assert sorted({number for number, _ in committed}) == list(range(1, 11))
        assert len(set(committed)) == len(committed)


def test_federated_benchmarking(environment: dict[str, str], tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", BENCHMARK],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(BASE)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Mean latency: " in done.stdout
    assert "Median throughput: " in done.stdout
    # One tenant is allowed, and warned about.
    assert "one tenant alone" in done.stderr


def test_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "federated.yaml"
    for name in ("server.crt", "server.key"):
        (tmp_path / name).write_text("")
    file.write_text(script(CONFIGURATION, **{"/etc/certs": str(tmp_path)}))
    config = Config.load(file, tmp_path / "state")
    assert config.coordinator.bind_address == "0.0.0.0:8080"
    assert config.privacy.default_delta == 1e-5
    assert config.privacy.max_queries_per_tenant == 100
    assert config.blockchain.network == "quasim_provenance"
    assert config.blockchain.consensus == "proof_of_authority"
