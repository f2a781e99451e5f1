"""Statements about a deployment: service card and receipt (spec `statements.md`, "Deployment")."""

from typing import Annotated, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from carnet_protocol.ids import Ed25519PublicKey, Fingerprint, Sha256Digest
from carnet_protocol.limits import MAX_JSON_INTEGER
from carnet_protocol.statements._base import Statement
from carnet_protocol.statements.people import SigningPublicKey
from carnet_protocol.wire import ShortText, SuiteCode, UtcSeconds, WireModel


def _check_origin(origin: str) -> str:
    parts = urlsplit(origin)
    host = parts.hostname or ""
    port = "" if parts.port is None else f":{parts.port}"
    shown = f"[{host}]" if ":" in host else host
    if parts.scheme not in {"http", "https"} or origin != f"{parts.scheme}://{shown}{port}":
        raise ValueError("an origin is scheme://host or scheme://host:port, in lower case, nothing more")
    if parts.scheme == "http" and host not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError("plain HTTP is for loopback alone; use https")
    return origin


Origin = Annotated[str, Field(max_length=255), AfterValidator(_check_origin)]
"""An HTTP origin; plain HTTP on loopback alone."""


class Server(WireModel):
    """A server in a service card: where it is, the key of its statements, the key of its log."""

    origin: Origin
    key: SigningPublicKey
    log_key: SigningPublicKey

    def fingerprint(self) -> Fingerprint:
        """The name of the server in grants, requests and events."""
        return Ed25519PublicKey(self.key.raw).fingerprint()


class Witness(WireModel):
    """A witness in a service card."""

    name: ShortText
    origin: Origin
    key: SigningPublicKey


class ServiceCard(Statement):
    """Describes a deployment. Signed by `card_key`, which a client pins at `carnet init`; a higher serial replaces.

    Everybody seals and signs under `write_suite`, and refuses what is of a suite below `suite_floor`.
    """

    KIND: ClassVar[str] = "service-card"

    card_key: SigningPublicKey
    serial: Annotated[int, Field(ge=1, le=1_000_000)]
    name: ShortText
    vault: Server
    keyservice: Server
    registrars: Annotated[tuple[SigningPublicKey, ...], Field(min_length=1, max_length=16, strict=False)]
    witnesses: Annotated[tuple[Witness, ...], Field(max_length=16, strict=False)]
    suite_floor: SuiteCode
    write_suite: SuiteCode
    issued_at: UtcSeconds

    @model_validator(mode="after")
    def _check(self) -> Self:
        keys = [self.card_key, self.vault.key, self.vault.log_key, self.keyservice.key, self.keyservice.log_key]
        keys += [*self.registrars, *(witness.key for witness in self.witnesses)]
        if len(set(keys)) != len(keys):
            raise ValueError("every key in a service card is another one")
        if self.write_suite < self.suite_floor:
            raise ValueError("what is written is not below the floor")
        return self


class Receipt(Statement):
    """A server's promise that the event with this leaf stands at `index` in its log. Signed by the log key.

    `leaf` is the RFC 6962 leaf hash. A release carries one; so does every accepted statement.
    """

    KIND: ClassVar[str] = "receipt"

    server: Fingerprint
    index: Annotated[int, Field(ge=0, le=MAX_JSON_INTEGER)]
    time: UtcSeconds
    leaf: Sha256Digest
