"""Embedded PostgreSQL and Valkey: data and ports are kept, passwords needed, kill -9 survived."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from portal.config import Config
from portal.up.errors import ServiceFailed
from portal.up.postgres import Postgres
from portal.up.service import wait_until
from portal.up.valkey import Valkey
from tests.patience import patient


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return Config.load(state=tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="module")
def postgres(config: Config) -> Iterator[Postgres]:
    service = Postgres(config)
    service.start()
    service.ensure_roles_and_database()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def valkey(config: Config) -> Iterator[Valkey]:
    service = Valkey(config)
    service.start()
    yield service
    service.stop()


def test_application_role_owns_and_creates_nothing(config: Config, postgres: Postgres) -> None:
    with psycopg.connect(config.database_url("owner")) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS only_owner (value int)")
    for statement in (
        "SELECT * FROM only_owner",
        "CREATE TABLE mine (value int)",
        "CREATE ROLE another",
        "CREATE SCHEMA another",
        "SET ROLE fsc_owner",
    ):
        with (
            psycopg.connect(config.database_url("app")) as app,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            app.execute(statement)


def test_password_is_needed_and_in_no_command_line(
    config: Config, postgres: Postgres, valkey: Valkey
) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(
            host="127.0.0.1", port=config.port("postgres"), user="fsc_app", dbname="fsc",
            password="wrong",
        )  # fmt: skip
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=config.port("valkey")).ping()
    secrets = [config.secret(name) for name in ("postgres_owner", "postgres_app", "valkey")]
    secrets.append(config.secret("postgres_superuser"))
    for service in (postgres, valkey):
        assert service.process is not None
        line = " ".join(psutil.Process(service.process.pid).cmdline())
        assert not any(secret in line for secret in secrets)


def test_database_comes_back_after_kill_with_its_data(config: Config, postgres: Postgres) -> None:
    with psycopg.connect(config.database_url("owner")) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS kept (value int)")
        owner.execute("INSERT INTO kept VALUES (42)")
    port = config.port("postgres")
    assert postgres.process is not None
    postgres.process.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not postgres.is_alive, patient(5))
    postgres.start()
    with psycopg.connect(config.database_url("owner")) as owner:
        assert owner.execute("SELECT value FROM kept").fetchone() == (42,)
    assert config.port("postgres") == port


def test_queue_comes_back_after_kill_with_its_entries(config: Config, valkey: Valkey) -> None:
    client = redis.Redis.from_url(config.broker_url)
    client.rpush("queue", "task")
    assert wait_until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, patient(5))
    assert valkey.process is not None
    valkey.process.send_signal(signal.SIGKILL)
    assert wait_until(lambda: not valkey.is_alive, patient(5))
    valkey.start()
    assert redis.Redis.from_url(config.broker_url).lrange("queue", 0, -1) == [b"task"]


def test_stale_pid_file_of_a_living_process_is_no_obstacle(tmp_path: Path) -> None:
    service = Postgres(Config.load(state=tmp_path))
    service.start()
    service.stop()
    pid_file = service.data / "postmaster.pid"
    # A container's pids repeat: the number on file is some other process by now.
    pid_file.write_text(f"{psutil.Process().parent().pid}\n{service.data}\n")
    try:
        service.start()
        assert service.is_up
    finally:
        service.stop()


def test_taken_port_is_chosen_again_at_start_only(tmp_path: Path) -> None:
    config = Config.load(state=tmp_path)
    chosen = config.port("valkey")
    with socket.create_server(("127.0.0.1", chosen)):
        service = Valkey(config)
        service.start()
    try:
        moved = config.port("valkey")
        assert moved != chosen
        assert service.is_up
        service.kill()
        with socket.create_server(("127.0.0.1", moved)), pytest.raises(ServiceFailed) as failed:
            service.start()
        # Others hold the address: a restart must not move.
        assert config.port("valkey") == moved
        assert str(service.log_path) in failed.value.message
    finally:
        service.stop()


def test_data_of_another_major_version_is_refused(tmp_path: Path) -> None:
    service = Postgres(Config.load(state=tmp_path))
    service.start()
    service.stop()
    (service.data / "PG_VERSION").write_text("12\n")
    with pytest.raises(ServiceFailed, match="PostgreSQL 12"):
        service.start()
