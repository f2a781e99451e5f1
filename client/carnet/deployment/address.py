"""Where the two servers of a deployment listen and how others reach them; kept in `deployment.json`.

127.0.0.1 alone     plain HTTP, for whoever sits at this machine
any other address   TLS, with a certificate for the name by which others reach it
"""

import errno
import ipaddress
import json
import re
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from pydantic import TypeAdapter, ValidationError

from carnet.errors import HomeError, UsageError
from carnet_protocol.statements.deployment import Origin

LOOPBACK: Final = "127.0.0.1"
_FORMAT: Final = "carnet.deployment.v1"
_LISTEN: Final = re.compile(r"(?P<host>[^:\[\]]+|\[[^\[\]]+\]):(?P<port>[0-9]{1,6})")
_MAX_PORT: Final = 65535
_ORIGIN: Final = TypeAdapter[str](Origin)
_WILDCARDS: Final = {"0.0.0.0", "::"}  # noqa: S104  refused as a name, not listened on


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, under which name, on which two ports, with which certificate.

    Raises `UsageError` for an address that would send anything over a network in the clear, or that nobody can name.
    """

    listen: str
    name: str
    vault_port: int
    keyservice_port: int
    tls_certificate: str | None = None
    tls_key: str | None = None

    def __post_init__(self) -> None:
        """Check that it is safe, then that it makes origins."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise UsageError("a certificate comes with its key: give both --tls-cert and --tls-key")
        if self.tls_certificate is None and not (is_loopback(self.listen) and is_loopback(self.name)):
            raise UsageError(
                "plain HTTP is for this machine alone: give --tls-cert and --tls-key, or listen on 127.0.0.1"
            )
        if self.name in _WILDCARDS:
            raise UsageError("others need a name to reach this machine by: give the certificate's with --name")
        try:
            _ORIGIN.validate_python(self.vault_origin)
            _ORIGIN.validate_python(self.keyservice_origin)
        except ValidationError as error:
            raise UsageError(f"{self.name} is no host name: give the one in the certificate, in lower case") from error

    @property
    def vault_origin(self) -> str:
        """Where clients find the vault."""
        return self._origin(self.vault_port)

    @property
    def keyservice_origin(self) -> str:
        """Where clients find the key service."""
        return self._origin(self.keyservice_port)

    def _origin(self, port: int) -> str:
        scheme = "http" if self.tls_certificate is None else "https"
        return f"{scheme}://{f'[{self.name}]' if ':' in self.name else self.name}:{port}"

    def formatted(self) -> bytes:
        """JSON, for `parse_address`."""
        return (json.dumps({"format": _FORMAT, **asdict(self)}, indent=2) + "\n").encode()

    @classmethod
    def choose(
        cls, *, listen: str | None, name: str | None, tls_certificate: Path | None, tls_key: Path | None
    ) -> Self:
        """A new address, on the ports that `listen` asks for or on two free ones."""
        host, port = _parse_listen(listen or LOOPBACK)
        vault_port, keyservice_port = find_free_ports(host, port)
        return cls(
            listen=host,
            name=name or host,
            vault_port=vault_port,
            keyservice_port=keyservice_port,
            tls_certificate=_absolute(tls_certificate),
            tls_key=_absolute(tls_key),
        )

    def change(
        self, *, listen: str | None, name: str | None, tls_certificate: Path | None, tls_key: Path | None
    ) -> "Address":
        """What is given in the place of what was; the same ports, unless `listen` asks for others."""
        host, port = _parse_listen(listen) if listen else (self.listen, None)
        ports = self.vault_port, self.keyservice_port
        if port is not None and ports != (port, port + 1):
            ports = find_free_ports(host, port)
        return Address(
            listen=host,
            name=name or (host if self.name == self.listen else self.name),
            vault_port=ports[0],
            keyservice_port=ports[1],
            tls_certificate=_absolute(tls_certificate) or self.tls_certificate,
            tls_key=_absolute(tls_key) or self.tls_key,
        )


def parse_address(text: bytes) -> Address:
    """The address that `text` is the JSON of. Raises `HomeError` or `UsageError`."""
    changed = HomeError("deployment.json was changed by hand: put it back, or begin with a new folder")
    try:
        members = json.loads(text)
        named = members.pop("format", None)
        address = Address(**members)
    except (ValueError, TypeError, AttributeError) as error:
        raise changed from error
    if named != _FORMAT:
        raise changed
    return address


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine and nothing else."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def find_free_ports(host: str, port: int | None = None) -> tuple[int, int]:
    """Two ports on which nobody listens now: `port` and the next one, or any.

    Raises `UsageError` for an address that is not this machine's and for ports that are taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as first, socket.socket(family) as second:
        try:
            for offset, one in enumerate((first, second)):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                one.bind((host, 0 if port is None else port + offset))
        except OSError as error:
            if port is not None and error.errno in {errno.EADDRINUSE, errno.EACCES}:
                raise UsageError(
                    f"ports {port} and {port + 1} of {host} are not both free: name another, or none to take any two"
                ) from error
            raise UsageError(f"{host} is no address of this machine: give one of `ip address`") from error
        return int(first.getsockname()[1]), int(second.getsockname()[1])


def _parse_listen(text: str) -> tuple[str, int | None]:
    """Host and port of `HOST`, `HOST:PORT` or `[HOST]:PORT`; an IPv6 address with a port has brackets."""
    match = _LISTEN.fullmatch(text)
    if match is None:
        return text, None
    port = int(match["port"])
    if not 0 < port < _MAX_PORT:
        raise UsageError(f"{port} is no port with another after it: give one from 1 to {_MAX_PORT - 1}")
    return match["host"].strip("[]"), port


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
