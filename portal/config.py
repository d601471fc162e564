"""The one typed configuration.

Precedence: arguments over environment (`FEDERATED__COORDINATOR__BIND_ADDRESS`) over the YAML file
(`--config`, or FSC_CONFIG). The state directory (`--state`, or FSC_STATE, default ./var) holds
everything that the embedded services keep.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    UrlConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from federated.errors import InvalidInput
from portal.config_sources import (
    PREFIX,
    ConfigInvalid,
    Keys,
    explain,
    read_file,
    refuse_unknown_environment,
)
from portal.up import state as kept

BASE = Path(__file__).resolve().parent.parent
DATABASE = "fsc"
ROLES = {"owner": "fsc_owner", "app": "fsc_app"}


def split_address(address: str) -> tuple[str, int]:
    """`host:port`, or `[v6]:port`, as a pair. Raises ValueError saying what is allowed."""
    host, separator, port = address.rpartition(":")
    if not separator or not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ValueError('must be "host:port" with a port from 1 to 65535, like "127.0.0.1:8080"')
    return host.removeprefix("[").removesuffix("]"), int(port)


def _address(value: str) -> str:
    split_address(value)
    return value


def _chain_address(value: str) -> str:
    # Few configurations name one, and it takes the chain's packages to check.
    from apps.provenance.ethereum import checksum_address

    try:
        return checksum_address(value)
    except InvalidInput as error:
        raise ValueError(error.message) from None


Delta = Annotated[float, Field(gt=0, le=0.01, allow_inf_nan=False)]
PostgresUrl = Annotated[AnyUrl, UrlConstraints(allowed_schemes=["postgresql", "postgres"])]
Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(_chain_address)]
BrokerUrl = Annotated[AnyUrl, UrlConstraints(allowed_schemes=["redis", "rediss", "amqp", "amqps"])]
HttpUrl = Annotated[AnyUrl, UrlConstraints(allowed_schemes=["http", "https"])]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Coordinator(Section):
    bind_address: Annotated[str, AfterValidator(_address)] = "127.0.0.1:8080"
    # Absent: the consortium's own authority issues the server's certificate.
    tls_cert: Path | None = None
    tls_key: Path | None = None
    # Host names that people and sites reach the coordinator by, beside localhost and bind_address.
    hosts: tuple[str, ...] = ()
    consortium: str = Field("consortium", pattern=r"^[a-z][a-z0-9._-]{0,62}$")
    max_body_bytes: int = Field(64 * 2**20, ge=2**16, le=2**34)

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Coordinator:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: give both, or neither")
        return self


class Privacy(Section):
    # More than 10 protects next to nothing (federated.privacy says the same).
    default_epsilon: float = Field(1.0, gt=0, le=10, allow_inf_nan=False)
    default_delta: Delta = 1e-5
    default_mechanism: Literal["gaussian", "none"] = "gaussian"
    max_queries_per_tenant: int = Field(100, ge=1)
    allotment_epsilon: float = Field(8.0, gt=0, le=1000, allow_inf_nan=False)
    allotment_delta: Delta = 1e-4
    # Only for synthetic data: a release without noise is epsilon = infinity on the same rows.
    allow_no_noise: bool = False

    @model_validator(mode="after")
    def _noise(self) -> Privacy:
        if self.default_mechanism == "none" and not self.allow_no_noise:
            raise ValueError('default_mechanism "none" needs allow_no_noise: true')
        return self


class Blockchain(Section):
    enabled: bool = True
    network: str = Field("quasim_provenance", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    consensus: Literal["proof_of_authority"] = "proof_of_authority"
    # A chain of the consortium's own; absent, an embedded one is started.
    rpc_url: HttpUrl | None = None
    # Nodes of the embedded chain, each a process with a key of its own, sealing in turn.
    authorities: int = Field(1, ge=1, le=21)
    # An AnchorRegistry that is there already; absent, one is deployed.
    contract: Address | None = None
    # Who may change a deployed registry's anchorers, and how many of them it takes; absent, the
    # portal's own key alone.
    members: tuple[Address, ...] = Field((), max_length=64)
    quorum: int = Field(1, ge=1, le=64)

    @model_validator(mode="after")
    def _reachable(self) -> Blockchain:
        if self.quorum > max(1, len(self.members)):
            raise ValueError(f"quorum {self.quorum} is above the {len(self.members)} members")
        if len({member.lower() for member in self.members}) != len(self.members):
            raise ValueError("members: an address is listed twice")
        return self


class Log(Section):
    # A checkpoint is final when so many of the witnesses, and more than half of them, have
    # cosigned it or a later one. Witnesses are the organizations with an active site.
    witnesses: int = Field(1, ge=1, le=1000)


class Jobs(Section):
    concurrency: int = Field(2, ge=1, le=1000)
    round_seconds: int = Field(120, ge=1, le=7 * 86400)
    # Days after a job's end that its ciphertexts and masked vectors stay; digests stay for ever.
    retention_days: int = Field(30, ge=0, le=36_500)


class Benchmarks(Section):
    # Operators create campaigns; with this, organizations do too.
    organizations_create: bool = False
    # Days after a run's end that its submissions and noise stay; digests stay for ever.
    retention_days: int = Field(30, ge=0, le=36_500)


class Database(Section):
    # A managed PostgreSQL; absent, an embedded one is started. Migrations use owner_url.
    url: PostgresUrl | None = None
    owner_url: PostgresUrl | None = None


class Storage(Section):
    # Where masked vectors and large models lie; absent, under the state directory. Every web
    # server and worker needs the same folder.
    folder: Path | None = None


class Broker(Section):
    # A managed Redis, Valkey or RabbitMQ; absent, an embedded Valkey is started.
    url: BrokerUrl | None = None


class Config(BaseSettings):
    """The sections of the file, and what follows from the state directory."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    coordinator: Coordinator = Coordinator()
    privacy: Privacy = Privacy()
    blockchain: Blockchain = Blockchain()
    log: Log = Log()
    jobs: Jobs = Jobs()
    benchmarks: Benchmarks = Benchmarks()
    database: Database = Database()
    broker: Broker = Broker()
    storage: Storage = Storage()
    # Not keys of the file: where the file and the state are.
    state: Path = Field(Path("var"), exclude=True)
    file: Path | None = Field(None, exclude=True)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        state: str | os.PathLike[str] | None = None,
        **sections: dict[str, Any],
    ) -> Config:
        """Read the configuration.

        `path` is the YAML file (else FSC_CONFIG, else none), `state` the state directory (else
        FSC_STATE, else ./var); `sections` are arguments, like `coordinator={"bind_address": ...}`.
        Raises ConfigInvalid naming every wrong key or value and what is allowed there.
        """
        chosen = path or os.environ.get("FSC_CONFIG") or None
        file = Path(chosen).resolve() if chosen else None
        directory = Path(state or os.environ.get("FSC_STATE") or "var").resolve()
        content = read_file(file, KEYS) if file else {}
        refuse_unknown_environment(KEYS)
        arguments: dict[str, Any] = {**sections, "state": directory, "file": file}
        try:
            return _from_file(content)(**arguments)
        except ValidationError as error:
            raise ConfigInvalid(explain(error, content, sections, file, KEYS)) from None
        except SettingsError as error:
            raise ConfigInvalid(f"the environment's {PREFIX} variables: {error}") from None

    # The parts that one host keeps.

    def secret(self, name: str) -> str:
        """A secret of this installation (256 bits, base64url), made on first use, mode 0600."""
        return kept.secret_of(self.state, name)

    def secret_path(self, name: str) -> Path:
        """Returns the path of a secret, for code that makes its own (keys, certificates)."""
        return kept.secret_path(self.state, name)

    def port(self, service: str) -> int:
        """The loopback port of an embedded service: postgres, valkey or chain."""
        return kept.port_of(self.state, service)

    @property
    def embeds(self) -> tuple[str, ...]:
        """The services that run from here, because no address of an outside one is given."""
        wanted = {
            "postgres": self.database.url is None,
            "valkey": self.broker.url is None,
            "chain": self.blockchain.enabled and self.blockchain.rpc_url is None,
        }
        return tuple(name for name, embedded in wanted.items() if embedded)

    # Addresses.

    def database_url(self, role: str = "app") -> str:
        """`owner` migrates and makes tenants; `app` owns nothing and is what requests use."""
        if role not in ROLES:
            raise ConfigInvalid(f"FSC_DB_ROLE: {role!r} is not allowed; use one of {list(ROLES)}")
        if self.database.url is not None:
            owner = self.database.owner_url if role == "owner" else None
            return str(owner or self.database.url)
        user, password = ROLES[role], self.secret(f"postgres_{role}")
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port('postgres')}/{DATABASE}"

    @property
    def broker_url(self) -> str:
        if self.broker.url is not None:
            return str(self.broker.url)
        return f"redis://:{self.secret('valkey')}@127.0.0.1:{self.port('valkey')}/0"

    @property
    def chain_rpc_url(self) -> str | None:
        """Returns the chain's JSON-RPC address; None when nothing is anchored."""
        if not self.blockchain.enabled:
            return None
        if self.blockchain.rpc_url is not None:
            return str(self.blockchain.rpc_url)
        return f"http://127.0.0.1:{self.port('chain')}"

    @property
    def address(self) -> tuple[str, int]:
        return split_address(self.coordinator.bind_address)

    @property
    def url(self) -> str:
        """The address at which a person on this machine opens the portal."""
        host, port = self.address
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host)  # noqa: S104
        return f"https://{shown or (f'[{host}]' if ':' in host else host)}:{port}"

    # Files of TLS.

    @property
    def tls_cert(self) -> Path:
        return self.coordinator.tls_cert or self.state / "tls" / "server.crt"

    @property
    def tls_key(self) -> Path:
        return self.coordinator.tls_key or self.secret_path("server.key")

    @property
    def ca_cert(self) -> Path:
        """The consortium's authority, which site certificates are checked against."""
        return self.state / "tls" / "ca.crt"

    @property
    def ca_key(self) -> Path:
        return self.secret_path("ca.key")

    @property
    def crl(self) -> Path:
        """The revocation list that the web server loads, if it is there."""
        return self.state / "tls" / "ca.crl"

    @property
    def chain_dir(self) -> Path:
        return self.state / "chain"

    @property
    def blob_dir(self) -> Path:
        """The folder of masked vectors and large models, with one folder per job."""
        return self.storage.folder or self.state / "blobs"

    @property
    def log_dir(self) -> Path:
        return self.state / "log"

    def environment(self, role: str = "app") -> dict[str, str]:
        """Returns the environment in which a child process loads this same configuration."""
        given = self.model_dump(mode="json", exclude_unset=True)
        variables = {
            f"{PREFIX}{section}__{key}".upper(): value
            if isinstance(value, str)
            else json.dumps(value)
            for section, values in given.items()
            for key, value in values.items()
            if value is not None
        }
        return {
            **variables,
            "FSC_STATE": str(self.state),
            "FSC_CONFIG": str(self.file or ""),
            "FSC_DB_ROLE": role,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
        }

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings)


KEYS: Keys = {
    name: sorted(field.annotation.model_fields)
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}


def _from_file(content: dict[str, Any]) -> type[Config]:
    """Config with the file's content as its last source."""

    class Loaded(Config):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *args: Any, **kwargs: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            first = Config.settings_customise_sources(settings_cls, *args, **kwargs)
            return (*first, InitSettingsSource(settings_cls, content))

    Loaded.__name__ = Config.__name__
    return Loaded


__all__ = ["DATABASE", "ROLES", "Config", "ConfigInvalid", "split_address"]
