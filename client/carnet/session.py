"""A session: one person's open keyring, both servers, and what this client remembers. The public entry of the SDK.

with carnet.open_session(home, passphrase="correct horse battery") as session:
    access = carnet.open_access(session, session.record)
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx2

from carnet.card import load_card
from carnet.compartments import VerifiedEpochs
from carnet.connections import open_http
from carnet.errors import BelowFloorError, CarnetError, PartialError
from carnet.home import Home
from carnet.keyring import Keyring, open_keyring
from carnet.outbox import Outbox, Unsent
from carnet.people import People
from carnet.pins import Pins
from carnet.state import LocalState
from carnet.stores import Stores
from carnet.transport import RequestSigner, ServerClient, ServerName
from carnet_protocol.ids import IdentityHash, RecordId, StatementHash
from carnet_protocol.requests import KeyId
from carnet_protocol.statements import ServiceCard, Signed, Statement
from carnet_protocol.suites import Suite

_T = TypeVar("_T")
_S = TypeVar("_S", bound=Statement)
OpenHttp = Callable[[str], httpx2.Client]
"""Makes connections to an origin; tests give their own."""


def read_clock() -> int:
    """The time now, in UTC seconds."""
    return int(time.time())


@dataclass(frozen=True, slots=True)
class Both(Generic[_T]):
    """What the two servers answered to the same question."""

    vault: _T
    keyservice: _T


@dataclass(frozen=True, slots=True)
class _DeviceSigner:
    """The device that a keyring holds now: it is another one after the words were renewed."""

    keyring: Keyring

    @property
    def key_id(self) -> KeyId:
        """The name of the device."""
        return KeyId(self.keyring.body.device.raw)

    def sign(self, message: bytes, /) -> bytes:
        """The device's signature of `message`."""
        return self.keyring.body.device_signer.sign(message)


class Session:
    """One person at work. Make it with `open_session`; close it, or use it in a `with` statement."""

    __slots__ = (
        "_is_lifting",
        "_pool",
        "card",
        "clock",
        "home",
        "keyring",
        "keyservice",
        "outbox",
        "people",
        "pins",
        "state",
        "stores",
        "unsent",
        "vault",
        "verified_epochs",
    )

    def __init__(
        self,
        home: Home,
        keyring: Keyring,
        card: Signed[ServiceCard],
        *,
        clock: Callable[[], int] = read_clock,
        open_client: OpenHttp = open_http,
    ) -> None:
        """A session with the servers of `card`; nothing is sent yet."""
        self.home = home
        self.keyring = keyring
        self.card = card
        self.clock = clock
        self.vault, self.keyservice = open_servers(
            card, clock=clock, open_client=open_client, signer=_DeviceSigner(keyring)
        )
        self.state = LocalState(
            home,
            identity=keyring.identity,
            account_keys=lambda: tuple(held.account_key for held in keyring.body.account_keys),
        )
        self.pins = Pins(home, self.state)
        self.people = People(self.pins)
        self.outbox = Outbox(self.state, self.servers, clock)
        self.stores = Stores(open_client)
        self.unsent: tuple[Unsent, ...] = ()
        self.verified_epochs: VerifiedEpochs = {}
        self._pool: ThreadPoolExecutor | None = None
        self._is_lifting = False

    def __repr__(self) -> str:
        """No secret."""
        return f"Session({self.identity})"

    def __enter__(self) -> Self:
        """The session itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Put what was seen on disk and close the connections."""
        try:
            self.pins.store()
        finally:
            if self._pool is not None:
                self._pool.shutdown()
            self.vault.close()
            self.keyservice.close()
            self.stores.close()

    @property
    def write_suite(self) -> Suite:
        """The suite of everything that is new here, as the pinned card says."""
        return Suite(self.card.body.write_suite)

    @property
    def floor(self) -> Suite:
        """The suite below which nothing is sealed to anybody, as the pinned card says."""
        return Suite(self.card.body.suite_floor)

    @property
    def reading_floor(self) -> Suite:
        """The suite below which nothing is read: that of `floor`, but where it is lifted."""
        return Suite(1) if self._is_lifting else self.floor

    @contextmanager
    def lifting(self) -> Iterator[None]:
        """Read below the floor too, for work that only makes anew, at the write suite, what it reads."""
        self._is_lifting, before = True, self._is_lifting
        try:
            yield
        finally:
            self._is_lifting = before

    def require_suite(self, suite: Suite, whose: str) -> None:
        """Refuse to seal to a key, `whose` says whose, of a suite below the floor. Raises `BelowFloorError`."""
        if suite < self.floor:
            raise BelowFloorError(
                f"{whose} are of suite {suite:d}, and your service card allows none below {self.floor:d}: nothing was "
                "sealed to them; people renew theirs with `carnet renew`"
            )

    @property
    def identity(self) -> IdentityHash:
        """Who this is."""
        return self.keyring.identity

    @property
    def record(self) -> RecordId:
        """The record of this person, who is a patient."""
        return RecordId.of(self.identity)

    @property
    def device(self) -> StatementHash:
        """The device of this home."""
        return self.keyring.body.device

    @property
    def servers(self) -> Mapping[ServerName, ServerClient]:
        """Both servers by name."""
        return {ServerName.VAULT: self.vault, ServerName.KEYSERVICE: self.keyservice}

    def sign(self, body: _S) -> Signed[_S]:
        """`body`, which names this device, signed by it."""
        return Signed.sign(body, self.keyring.body.device_signer)

    def ask_both(self, ask: Callable[[ServerClient], _T]) -> Both[_T]:
        """What `ask` returns for each server, asked at the same time. Raises the key service's error first."""
        outcomes = self.try_both(ask)
        keyservice = _raise_error(outcomes.keyservice)
        return Both(_raise_error(outcomes.vault), keyservice)

    def try_both(self, ask: Callable[[ServerClient], _T]) -> Both[_T | CarnetError]:
        """What `ask` returns for each server, or its error, asked at the same time."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="carnet")
        vault = self._pool.submit(_catch, ask, self.vault)
        keyservice = _catch(ask, self.keyservice)
        return Both(vault.result(), keyservice)


def open_session(
    home: Path | Home,
    *,
    passphrase: str,
    clock: Callable[[], int] = read_clock,
    open_client: OpenHttp = open_http,
) -> Session:
    """The session of whoever lives in `home`. What earlier commands could not send is sent first, if it can be.

    The session's `unsent` is what did not get through; somebody is to be told.

    Raises `HomeError`, `UnlockError` or a `DataError`.
    """
    home = home if isinstance(home, Home) else Home(home)
    session = Session(
        home, open_keyring(home, passphrase=passphrase), load_card(home), clock=clock, open_client=open_client
    )
    if not session.outbox.is_empty():
        # Where a server is away, what waits goes on waiting: this command may not need it.
        unsent: list[Unsent] = []
        with suppress(PartialError):
            session.outbox.flush(unsent.append)
        session.unsent = tuple(unsent)
    return session


def open_servers(
    card: Signed[ServiceCard],
    *,
    clock: Callable[[], int] = read_clock,
    open_client: OpenHttp = open_http,
    signer: RequestSigner | None = None,
) -> tuple[ServerClient, ServerClient]:
    """Vault and key service of `card`; without `signer` only what anyone may ask."""
    vault, keyservice = card.body.vault, card.body.keyservice
    return (
        ServerClient(vault, name=ServerName.VAULT, http=open_client(vault.origin), clock=clock, signer=signer),
        ServerClient(
            keyservice, name=ServerName.KEYSERVICE, http=open_client(keyservice.origin), clock=clock, signer=signer
        ),
    )


def _catch(ask: Callable[[ServerClient], _T], server: ServerClient) -> _T | CarnetError:
    try:
        return ask(server)
    except CarnetError as error:
        return error


def _raise_error(outcome: _T | CarnetError) -> _T:
    if isinstance(outcome, CarnetError):
        raise outcome
    return outcome
