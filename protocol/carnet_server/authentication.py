"""From a signed request to a principal.

A request is checked in the order of what the checks cost, and in a way that tells an outsider nothing: whoever asks
with an unknown key gets the same answer, after the same work, as who asks with a known key and a bad signature.

Keys that signed well are kept in memory, so that a busy device is not looked up before each request. That memory
decides nothing: the key is looked up again in the very transaction that the request authorises (`admit`), or on the
very snapshot that it reads (`check`), and must still be the one that verified.
"""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import Connection, Engine

from carnet_protocol.errors import MalformedError, SignatureError
from carnet_protocol.ids import Fingerprint
from carnet_protocol.requests import (
    KeyId,
    SignedRequest,
    VerifiedHead,
    VerifiedRequest,
    format_target,
    parse_request,
    verify_request_body,
    verify_request_head,
)
from carnet_protocol.signing import SEED_SIZE, Signer
from carnet_server.body import body_gate
from carnet_server.clock import Clock, ClockGuard
from carnet_server.database import reader
from carnet_server.errors import RefusedError, UnauthenticatedError
from carnet_server.nonces import Nonces
from carnet_server.principals import KeyLookUp, Principal, PrincipalKind, SigningKey
from carnet_server.rates import TokenBuckets, subscriber
from carnet_server.replays import ReplayMemory

MAX_KEYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Credentials:
    """A request whose signature and body were verified with `key`; to be admitted in a transaction.

    `head` is what was signed, which a signed answer repeats.
    """

    request: VerifiedRequest
    key: SigningKey
    head: SignedRequest

    @property
    def principal(self) -> Principal:
        """Who signed."""
        return Principal(self.request.key_id, self.key.kind, self.key.identity)


class Authenticator:
    """Verifies requests for one server. One per program."""

    def __init__(
        self,
        *,
        origin: str,
        server: Fingerprint,
        engine: Engine,
        look_up: KeyLookUp,
        clock: Clock,
        clock_guard: ClockGuard,
        nonces: Nonces,
        rate_by_key: TokenBuckets,
        rate_by_address: TokenBuckets,
        rate_of_statements: TokenBuckets,
    ) -> None:
        self._origin = origin
        self._server = server
        self._engine = engine
        self._look_up = look_up
        self._clock = clock
        self._clock_guard = clock_guard
        self._nonces = nonces
        self._rate_by_key = rate_by_key
        self._rate_by_address = rate_by_address
        self._rate_of_statements = rate_of_statements
        self._replays = ReplayMemory()
        self._keys = _KeyMemory()
        # What requests with an unknown key are verified with, for the work's sake; nobody keeps its private half.
        self._nobodys_key = Signer(secrets.token_bytes(SEED_SIZE)).public_key

    async def authenticate(
        self, request: Request, *, kinds: frozenset[PrincipalKind], body_limit_bytes: int
    ) -> tuple[Credentials, bytes]:
        """Credentials and body of `request`.

        1. The head is a signed one, in the one form (`parse_request`).
        2. It is signed by a key in force, for this server, now.
        3. From an address that has failed too often, that key is in memory: strangers there cannot shut out those who
           signed well before, and cause no look-up.
        4. The key has not asked too often: a thief's requests are not its owner's.
        5. The key is of a kind that the route takes.
        6. The body is within the limit, and the one that was signed.
        7. This process has not seen the nonce.

        Raises `RateLimitedError`, `UnauthenticatedError`, `RefusedError`, `TooLargeError` or `BadRequestError`.
        """
        try:
            # 1
            signed = self._parse(request)
            # 2, 3
            if self._rate_by_address.is_empty(_address(request)):
                head, key = self._verify_remembered(signed)
            else:
                head, key = await self._verify(signed)
        except UnauthenticatedError:
            self.take_from_address(request)
            raise
        # 4
        self._rate_by_key.take(signed.key_id)
        # 5
        if key.kind not in kinds:
            # It may be of another kind since it was looked up: an officer's now, and a root key before.
            self._keys.forget(signed.key_id)
            raise RefusedError("other_kind_of_key")
        # 6
        gate = body_gate(request.scope)
        gate.open(body_limit_bytes)
        body = await gate.read()
        try:
            verified = verify_request_body(head, body)
        except SignatureError as error:
            raise UnauthenticatedError("body_not_signed") from error
        # 7
        self._replays.spend(verified, self._clock())
        return Credentials(verified, key, signed), body

    def admit(self, connection: Connection, credentials: Credentials) -> int:
        """Spend the nonce in the transaction of `connection`, and check there that the key is still in force.

        Returns the time at which the transaction decides. Raises `UnauthenticatedError` or `ClockBehindError`.
        """
        now = self.decide_at(connection)
        self._nonces.spend(connection, credentials.request, now)
        self._require_in_force(connection, credentials)
        return now

    def check(self, connection: Connection, credentials: Credentials) -> int:
        """As `admit`, for a snapshot that is only read: memory alone has the nonce (see `replays.py`)."""
        now = self.decide_at(connection)
        self._require_in_force(connection, credentials)
        return now

    def decide_at(self, connection: Connection) -> int:
        """The time at which the transaction of `connection` decides. Raises `ClockBehindError`."""
        now = self._clock()
        self._clock_guard.check(connection, now)
        return now

    def take_from_address(self, request: Request) -> None:
        """Count a request of nobody in particular against its address. Raises `RateLimitedError`."""
        self._rate_by_address.take(_address(request))

    def take_statements_from_address(self, request: Request, count: int) -> None:
        """Count the statements in a request of nobody in particular against its address.

        Apart from its requests: a neighbour behind the same address who brings many shuts nobody out. Raises
        `RateLimitedError`.
        """
        self._rate_of_statements.take(_address(request), count)

    def require_address(self, request: Request) -> None:
        """Refuse an address that has failed too often. Raises `RateLimitedError`."""
        self._rate_by_address.require(_address(request))

    def _parse(self, request: Request) -> SignedRequest:
        scope = request.scope
        try:
            target = format_target(origin=self._origin, raw_path=scope["raw_path"], raw_query=scope["query_string"])
            return parse_request(method=scope["method"], target=target, headers=scope["headers"])
        except MalformedError as error:
            raise UnauthenticatedError("signature_malformed") from error

    async def _verify(self, signed: SignedRequest) -> tuple[VerifiedHead, SigningKey]:
        """One look-up and one verification before every failure, whichever of them failed."""
        remembered = self._keys.get(signed.key_id)
        key = remembered or await run_in_threadpool(self._find, signed.key_id)
        try:
            verified = self._verify_head(signed, key)
        except UnauthenticatedError:
            if remembered:
                await run_in_threadpool(self._find, signed.key_id)
            raise
        self._keys.put(signed.key_id, verified[1])
        return verified

    def _verify_remembered(self, signed: SignedRequest) -> tuple[VerifiedHead, SigningKey]:
        """As `_verify` without any look-up. An unknown key costs one verification, too: so nobody learns who signs."""
        return self._verify_head(signed, self._keys.get(signed.key_id))

    def _verify_head(self, signed: SignedRequest, key: SigningKey | None) -> tuple[VerifiedHead, SigningKey]:
        public_key = key.public_key if key else self._nobodys_key
        try:
            head = verify_request_head(signed, public_key=public_key, server=self._server, now=self._clock())
        except (SignatureError, MalformedError) as error:
            raise UnauthenticatedError("signature") from error
        if key is None:
            raise UnauthenticatedError("unknown_key")
        return head, key

    def _find(self, key_id: KeyId) -> SigningKey | None:
        with reader(self._engine) as connection:
            return self._look_up(connection, key_id)

    def _require_in_force(self, connection: Connection, credentials: Credentials) -> None:
        if self._look_up(connection, credentials.request.key_id) != credentials.key:
            self._keys.forget(credentials.request.key_id)
            raise UnauthenticatedError("key_not_in_force")


def _address(request: Request) -> str:
    return subscriber(request.client.host if request.client else "")


class _KeyMemory:
    """The keys that signed last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: OrderedDict[KeyId, SigningKey] = OrderedDict()

    def get(self, key_id: KeyId) -> SigningKey | None:
        with self._lock:
            return self._keys.get(key_id)

    def put(self, key_id: KeyId, key: SigningKey) -> None:
        with self._lock:
            self._keys[key_id] = key
            self._keys.move_to_end(key_id)
            if len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)

    def forget(self, key_id: KeyId) -> None:
        with self._lock:
            self._keys.pop(key_id, None)
