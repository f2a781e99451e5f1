"""What a server knows of the deployment it belongs to, and the moment in which it decides.

`Deployment` is made once at start, from the service card and the server's log key. A `Moment` is made by each work of
the writer: the transaction, the time read inside of it, and the signatures that were checked before.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection

from carnet_protocol.api import Accepted
from carnet_protocol.errors import ProtocolError
from carnet_protocol.ids import Ed25519PublicKey, Fingerprint
from carnet_protocol.signing import Signer
from carnet_protocol.statements import Server, ServiceCard, Signed
from carnet_protocol.suites import Suite
from carnet_server.errors import InvalidStatementError, SettingsError
from carnet_server.events.event import LoggedEvent, NewEvent
from carnet_server.events.queries import Newest, append_event
from carnet_server.key_files import LOG_KEY, SERVER_KEY, load_signer


@dataclass(frozen=True, slots=True)
class Deployment:
    """The service card, which of its two servers this is, and the key that signs its receipts."""

    card: Signed[ServiceCard]
    fingerprint: Fingerprint
    log_key: Signer
    registrars: dict[Fingerprint, Ed25519PublicKey]

    @classmethod
    def load(cls, card: Signed[ServiceCard], server: Server, keys: Path) -> Self:
        """The deployment that `card` describes, as its `server` whose two key files lie in `keys`.

        Raises `SettingsError` if a key file is not in order or not the one in the card.
        """
        if load_signer(keys / SERVER_KEY).public_key.raw != server.key.raw:
            raise SettingsError("server.key is not the one in the service card; put the right key file in place")
        return cls.of(card, server, load_signer(keys / LOG_KEY))

    @classmethod
    def of(cls, card: Signed[ServiceCard], server: Server, log_key: Signer) -> Self:
        """The deployment that `card` describes, as seen by its `server`. Raises `SettingsError` for another log key."""
        if server.log_key.raw != log_key.public_key.raw:
            raise SettingsError("log.key is not the one in the service card; put the right key file in place")
        if card.body.write_suite not in set(Suite):
            raise SettingsError("the service card asks for a suite that this program does not have; update it")
        registrars = {key.fingerprint(): Ed25519PublicKey(key.raw) for key in card.body.registrars}
        return cls(card, server.fingerprint(), log_key, registrars)

    @property
    def write_suite(self) -> Suite:
        """The suite of everything new."""
        return Suite(self.card.body.write_suite)

    def require_suite(self, suite: int) -> None:
        """Refuse a new statement of a suite below the floor. Raises `InvalidStatementError`."""
        if suite < self.card.body.suite_floor:
            raise InvalidStatementError("suite_below_floor")

    @property
    def pinned(self) -> tuple[Fingerprint, ...]:
        """The registrars in the card."""
        return tuple(self.registrars)

    def receipt(self, event: LoggedEvent) -> str:
        """The receipt of `event` as a compact JWS."""
        return event.receipt(server=self.fingerprint, log_key=self.log_key)

    def accepted(self, events: Sequence[LoggedEvent]) -> Accepted:
        """The answer to statements that `events` accepted."""
        return Accepted(receipts=tuple(self.receipt(event) for event in events))


class Signatures:
    """Statements whose signatures were found good, so that none is checked twice, or inside of a transaction."""

    __slots__ = ("_good",)

    def __init__(self) -> None:
        self._good: set[tuple[str, bytes]] = set()

    def verify(self, signed: Signed[Any], key: Ed25519PublicKey) -> None:
        """Check that `signed` was signed with `key`. Raises `InvalidStatementError`."""
        if (signed.text, key.raw) in self._good:
            return
        try:
            signed.verify(key)
        except ProtocolError as error:
            raise InvalidStatementError("signature") from error
        self._good.add((signed.text, key.raw))

    def prove(self, signed: Signed[Any], keys: Iterable[Ed25519PublicKey]) -> None:
        """Remember which of `keys` signed `signed`; refuse nothing, for another key may be the right one."""
        for key in keys:
            with contextlib.suppress(InvalidStatementError):
                self.verify(signed, key)
                return


@dataclass(frozen=True, slots=True)
class Moment:
    """Where and when a decision is made: one transaction, one second, one deployment."""

    connection: Connection
    now: int
    deployment: Deployment
    signatures: Signatures = field(default_factory=Signatures)

    def log(self, event: NewEvent, *, newest: Newest | None = None) -> LoggedEvent:
        """Append `event` to the log, in this transaction; behind `newest`, where that was asked already."""
        return append_event(self.connection, event, server=self.deployment.fingerprint, now=self.now, newest=newest)
