"""Settings of a server: one frozen object, read once, from arguments, environment and a TOML file, in this order.

A server's own settings are a subclass with further fields. A name that no field has is refused wherever it stands, so a
misspelled limit is not silently the default. Secrets show as stars.
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from carnet_server.chassis import (
    DEFAULT_MAX_CONCURRENT,
    DEFAULT_RATE_BY_ADDRESS,
    DEFAULT_RATE_BY_KEY,
    DEFAULT_RATE_OF_STATEMENTS,
    Rates,
)
from carnet_server.errors import SettingsError
from carnet_server.rates import Rate

_ORIGIN: Final = re.compile(r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_DATABASE_FILE: Final = "database.sqlite"

Port = Annotated[int, Field(ge=0, le=65535)]


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Several words; in the environment separated by commas."""


class ServerSettings(BaseModel):
    """What both servers are told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path
    """Folder of this server alone."""
    database_url: SecretStr = SecretStr("")
    """`sqlite:///FILE` or `postgresql+psycopg://…`; empty means SQLite in `data_dir`."""
    service_card: Path
    """The signed service card of the deployment."""
    origin: str
    """Where clients reach this server, as in the service card: what signatures cover."""
    listen_host: str = "127.0.0.1"
    listen_port: Port = 0
    """0 takes a free port."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: Words = ()
    """Addresses of proxies whose word on a client's address is taken."""
    metrics_port: Port | None = None
    """Port on loopback where `/metrics` is served; none by default."""
    key_requests_per_second: Annotated[float, Field(gt=0)] = DEFAULT_RATE_BY_KEY.per_second
    key_burst: Annotated[int, Field(ge=1)] = DEFAULT_RATE_BY_KEY.burst
    address_requests_per_second: Annotated[float, Field(gt=0)] = DEFAULT_RATE_BY_ADDRESS.per_second
    address_burst: Annotated[int, Field(ge=1)] = DEFAULT_RATE_BY_ADDRESS.burst
    address_statements_per_second: Annotated[float, Field(gt=0)] = DEFAULT_RATE_OF_STATEMENTS.per_second
    """How many statements anyone may bring without signing the request; each costs the one writer something."""
    address_statements_burst: Annotated[int, Field(ge=1)] = DEFAULT_RATE_OF_STATEMENTS.burst
    max_concurrent: Annotated[int, Field(ge=1)] = DEFAULT_MAX_CONCURRENT
    log_file: Path | None = None
    """Standard error by default."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _check(self) -> Self:
        match = _ORIGIN.fullmatch(self.origin)
        if match is None or match[3] == _DEFAULT_PORTS[match[1]]:
            raise ValueError("origin is like https://vault.example: lower case, no path, no default port")
        if match[1] == "http" and not is_loopback(match[2].strip("[]")):
            raise ValueError("origin is https:// for every host but this machine's loopback")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key come together")
        if self.tls_certificate is None and not is_loopback(self.listen_host):
            raise ValueError(
                "plain HTTP is for loopback alone: give tls_certificate and tls_key, or listen on 127.0.0.1"
            )
        return self

    @property
    def database(self) -> str:
        """The URL of the database, secrets and all, for `make_engine` alone."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.data_dir / _DATABASE_FILE}"

    @property
    def rates(self) -> Rates:
        """The limits of load."""
        return Rates(
            by_key=Rate(self.key_requests_per_second, self.key_burst),
            by_address=Rate(self.address_requests_per_second, self.address_burst),
            of_statements=Rate(self.address_statements_per_second, self.address_statements_burst),
            max_concurrent=self.max_concurrent,
        )


S = TypeVar("S", bound=ServerSettings)


def load_settings(
    kind: type[S], *, file: Path | None, environment: Mapping[str, str], prefix: str, arguments: Mapping[str, Any]
) -> S:
    """The settings of one server.

    `arguments` that are None count as not given; of `environment`, the names that begin with `prefix`. Raises
    `SettingsError`, which names fields and rules, never values.
    """
    given: dict[str, Any] = {}
    if file is not None:
        given |= _read(file)
    given |= {name[len(prefix) :].lower(): text for name, text in environment.items() if name.startswith(prefix)}
    given |= {name: value for name, value in arguments.items() if value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'settings'}: {fault['msg']}" for fault in error.errors()]
        raise SettingsError("; ".join(faults)) from None


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and nothing else."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise SettingsError(f"the settings file cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("the settings file is not TOML") from error
