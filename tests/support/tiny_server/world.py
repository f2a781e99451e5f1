"""People, a clock and a client for tests of the tiny server, in one process and without a network."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Engine, insert
from starlette.testclient import TestClient

from carnet_protocol.ids import Fingerprint, IdentityHash, Nonce
from carnet_protocol.requests import KeyId, SignedRequest, parse_request, sign_request
from carnet_protocol.signing import Signer
from carnet_server.chassis import Chassis, Rates
from carnet_server.logs import make_log
from carnet_server.principals import PrincipalKind

from .app import make_tiny_app, make_tiny_chassis
from .tables import keys

ORIGIN: Final = "https://tiny.example"
SERVER: Final = Signer(b"server".ljust(32)).public_key.fingerprint()
NOW: Final = 1_800_000_000


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@dataclass(frozen=True)
class Caller:
    """Somebody with a key."""

    name: str
    kind: PrincipalKind = PrincipalKind.DEVICE
    owner: str | None = None

    @property
    def signer(self) -> Signer:
        return Signer(self.name.encode().ljust(32))

    @property
    def key_id(self) -> KeyId:
        return KeyId(self.signer.public_key.fingerprint().raw)

    @property
    def identity(self) -> IdentityHash | None:
        is_officer = self.kind is PrincipalKind.OFFICER
        return None if is_officer else IdentityHash(f"identity of {self.owner or self.name}".encode().ljust(32))

    def sign(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        created: int = NOW,
        server: Fingerprint = SERVER,
        origin: str = ORIGIN,
        nonce: Nonce | None = None,
    ) -> dict[str, str]:
        """The headers of a request by this caller."""
        return sign_request(
            method=method,
            target=origin + path,
            body=body,
            server=server,
            key_id=self.key_id,
            created=created,
            sign=self.signer.sign,
            nonce=nonce,
        )

    def head(self) -> SignedRequest:
        """A GET by this caller as a server parses it."""
        headers = [(name.encode(), value.encode()) for name, value in self.sign("GET", "/").items()]
        return parse_request(method="GET", target=f"{ORIGIN}/", headers=headers)


ALICE: Final = Caller("alice")
BOB: Final = Caller("bob", PrincipalKind.ROOT)
OLGA: Final = Caller("olga", PrincipalKind.OFFICER)
MALLORY: Final = Caller("mallory")
"""Mallory is not enrolled."""


@dataclass
class World:
    """A running tiny server and a way to talk to it."""

    engine: Engine
    rates: Rates = field(default_factory=Rates)
    clock: FakeClock = field(default_factory=FakeClock)
    log: io.StringIO = field(default_factory=io.StringIO)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.chassis: Chassis = make_tiny_chassis(
            origin=ORIGIN,
            fingerprint=SERVER,
            engine=self.engine,
            log=make_log(self.log, "debug"),
            clock=self.clock,
            monotonic=lambda: self.seconds,
            rates=self.rates,
        )
        self.app = make_tiny_app(self.chassis)
        self.client = TestClient(self.app, base_url=ORIGIN, client=("192.0.2.1", 4711))

    def enrol(self, *callers: Caller) -> None:
        """Put the keys of `callers` in force."""
        with self.engine.begin() as connection:
            for caller in callers:
                row = {
                    "key_id": caller.key_id,
                    "public_key": caller.signer.public_key,
                    "kind": caller.kind.value,
                    "identity": caller.identity,
                }
                connection.execute(insert(keys), row)

    def post(self, path: str, body: Mapping[str, Any] | bytes, headers: Mapping[str, str]) -> Any:
        """Send a JSON body with `headers`."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers={"content-type": "application/json", **headers})

    def post_as(self, caller: Caller, path: str, body: Mapping[str, Any]) -> Any:
        """Send a JSON body, signed by `caller`."""
        content = json.dumps(body).encode()
        return self.post(path, content, caller.sign("POST", path, content, created=self.clock.now))

    def get_as(self, caller: Caller, path: str) -> Any:
        """Ask, signed by `caller`."""
        return self.client.get(path, headers=caller.sign("GET", path, created=self.clock.now))

    def log_lines(self) -> list[dict[str, Any]]:
        """What was logged."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]
