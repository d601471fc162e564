"""One typed configuration: the seed's file as written, precedence, and refusals that say enough."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from portal.config import Config, ConfigInvalid

SEED = """
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


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("FEDERATED__"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FSC_CONFIG", "")
    monkeypatch.setenv("FSC_STATE", str(tmp_path / "state"))


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_seed_file_is_read_as_written(tmp_path: Path) -> None:
    config = Config.load(written(tmp_path, SEED))
    assert config.coordinator.bind_address == "0.0.0.0:8080"
    assert config.address == ("0.0.0.0", 8080)
    assert config.url == "https://127.0.0.1:8080"
    assert config.tls_cert == Path("/etc/certs/server.crt")
    assert config.tls_key == Path("/etc/certs/server.key")
    assert config.privacy.default_epsilon == 1.0
    assert config.privacy.default_delta == 1e-5  # YAML 1.1 reads it as a string
    assert config.privacy.max_queries_per_tenant == 100
    assert config.blockchain.enabled is True
    assert config.blockchain.network == "quasim_provenance"
    assert config.blockchain.consensus == "proof_of_authority"


def test_arguments_win_over_environment_over_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(
        tmp_path, "federated: {privacy: {default_epsilon: 2, allotment_epsilon: 3}, jobs: {}}"
    )
    monkeypatch.setenv("FEDERATED__PRIVACY__DEFAULT_EPSILON", "4")
    monkeypatch.setenv("FEDERATED__JOBS__CONCURRENCY", "5")
    by_environment = Config.load(path)
    by_argument = Config.load(path, privacy={"default_epsilon": 6})
    assert by_environment.privacy.default_epsilon == 4
    assert by_argument.privacy.default_epsilon == 6
    for config in (by_environment, by_argument):
        assert config.privacy.allotment_epsilon == 3
        assert config.privacy.allotment_delta == 1e-4
        assert config.jobs.concurrency == 5


def test_file_and_state_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSC_CONFIG", str(written(tmp_path, SEED)))
    assert Config.load().coordinator.bind_address == "0.0.0.0:8080"
    assert Config.load().state == tmp_path / "state"
    assert Config.load(state=tmp_path / "other").state == tmp_path / "other"


@pytest.mark.parametrize(
    ("text", "path", "allowed"),
    [
        ("{privacy: {epsilon: 1}}", "federated.privacy.epsilon", "default_epsilon"),
        ("{privcy: {}}", "federated.privcy", "coordinator, privacy, blockchain"),
        ("{privacy: {default_epsilon: -1}}", "federated.privacy.default_epsilon", "greater than 0"),
        ("{privacy: {default_epsilon: .nan}}", "federated.privacy.default_epsilon", "finite"),
        ("{privacy: {default_delta: 1e-}}", "federated.privacy.default_delta", "valid number"),
        ("{privacy: {default_mechanism: none}}", "federated.privacy", "allow_no_noise: true"),
        (
            '{coordinator: {bind_address: "8080"}}',
            "federated.coordinator.bind_address",
            "host:port",
        ),
        (
            '{coordinator: {bind_address: "a:0"}}',
            "federated.coordinator.bind_address",
            "1 to 65535",
        ),
        ("{coordinator: {tls_cert: /a}}", "federated.coordinator", "tls_key"),
        ("{blockchain: {consensus: work}}", "federated.blockchain.consensus", "proof_of_authority"),
        ("{jobs: {concurrency: 0}}", "federated.jobs.concurrency", "greater than or equal to 1"),
        ("{jobs: 3}", "federated.jobs", "3"),
        ("3", "federated", "sections"),
    ],
)
def test_bad_file_is_refused_with_path_and_allowed(
    tmp_path: Path, text: str, path: str, allowed: str
) -> None:
    file = written(tmp_path, f"federated: {text}")
    with pytest.raises(ConfigInvalid) as refused:
        Config.load(file)
    assert path in refused.value.message
    assert allowed in refused.value.message
    assert str(file) in refused.value.message


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        Config.load(written(tmp_path, "federated: {privacy: {typo: 1}, jobs: {concurrency: x}}"))
    assert "federated.privacy.typo" in refused.value.message
    assert "federated.jobs.concurrency" in refused.value.message


@pytest.mark.parametrize("text", ["a: b: c", "other: {}", "- 1"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigInvalid):
        Config.load(written(tmp_path, text))


def test_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="nowhere.yaml"):
        Config.load(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FEDERATED__PRIVCY__DEFAULT_EPSILON", "1"),
        ("FEDERATED__PRIVACY__EPSILON", "1"),
        ("FEDERATED__PRIVACY__DEFAULT_EPSILON", "much"),
        ("FEDERATED__PRIVACY", "{}"),
    ],
)
def test_bad_environment_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigInvalid, match=variable):
        Config.load()


def test_password_of_a_refused_address_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        Config.load(written(tmp_path, "federated: {database: {url: 'mysql://u:hunter2@h/d'}}"))
    assert "federated.database.url" in refused.value.message
    assert "hunter2" not in refused.value.message


def test_children_load_the_same_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = Config.load(
        written(tmp_path, SEED),
        privacy={"default_epsilon": 2.5},
        coordinator={"hosts": ["a.example", "b.example"], "bind_address": "127.0.0.1:9000"},
        blockchain={"enabled": False},
    )
    for name, value in parent.environment("owner").items():
        monkeypatch.setenv(name, value)
    child = Config.load()
    assert child.model_dump() == parent.model_dump()
    assert child.state == parent.state
    assert os.environ["FSC_DB_ROLE"] == "owner"


def test_outside_services_replace_embedded_ones() -> None:
    assert Config.load().embeds == ("postgres", "valkey", "chain")
    config = Config.load(
        database={"url": "postgresql://app:x@db/fsc", "owner_url": "postgresql://own:y@db/fsc"},
        broker={"url": "redis://cache:6379/0"},
        blockchain={"rpc_url": "http://besu:8545"},
    )
    assert config.embeds == ()
    assert config.database_url("app") == "postgresql://app:x@db/fsc"
    assert config.database_url("owner") == "postgresql://own:y@db/fsc"
    assert config.broker_url == "redis://cache:6379/0"
    assert str(config.chain_rpc_url).rstrip("/") == "http://besu:8545"
    assert Config.load(blockchain={"enabled": False}).chain_rpc_url is None


def test_secrets_are_made_once_and_private() -> None:
    config = Config.load()
    first = config.secret("django")
    assert len(first) >= 43
    assert config.secret("django") == first
    assert config.secret("valkey") != first
    assert stat.S_IMODE(config.secret_path("django").stat().st_mode) == 0o600
    assert stat.S_IMODE(config.secret_path("django").parent.stat().st_mode) == 0o700


def test_ports_are_kept_and_distinct() -> None:
    config = Config.load()
    ports = {name: config.port(name) for name in ("postgres", "valkey", "chain")}
    assert len(set(ports.values())) == 3
    again = Config.load()
    assert {name: again.port(name) for name in ports} == ports


def test_a_registry_of_members_needs_a_quorum_they_can_reach(tmp_path: Path) -> None:
    members = ["0x" + digit * 40 for digit in "123"]
    chosen = Config.load(state=tmp_path, blockchain={"members": members, "quorum": 2})
    assert chosen.blockchain.members == tuple(members)
    contract = "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"
    chosen = Config.load(state=tmp_path, blockchain={"contract": contract.lower()})
    assert chosen.blockchain.contract == contract
    for wrong in (
        {"members": members, "quorum": 4},
        {"quorum": 2},
        {"members": [members[0], members[0].upper().replace("X", "x")]},
        {"members": ["0x12"]},
        {"members": ["0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF".replace("cF", "Cf")]},
        {"contract": "here"},
        {"authorities": 0},
    ):
        with pytest.raises(ConfigInvalid, match=r"blockchain"):
            Config.load(state=tmp_path, blockchain=wrong)
