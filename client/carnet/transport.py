"""Signed requests to one server, and what its answers mean (spec `api.md`).

Every request is signed anew for each attempt, so a repeated one never spends a nonce twice. Redirects are never
followed, proxies and `.netrc` of the machine never used, answers never read past a bound, bodies parsed by the models
of `carnet_protocol.api` alone. A refusal becomes the error of its code, whose message says what to do next.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from http import HTTPStatus
from typing import Final, Protocol, Self, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from carnet.connections import advise
from carnet.errors import (
    AnswerError,
    ConflictError,
    NoSpaceError,
    RateLimitedError,
    RefusalError,
    RefusedError,
    ServerFaultError,
    StaleError,
    UnauthenticatedError,
    UnavailableError,
    UnreachableError,
)
from carnet_protocol.api import ErrorAnswer
from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import Fingerprint
from carnet_protocol.limits import MAX_BODY_BYTES, MIB
from carnet_protocol.requests import KeyId, sign_request
from carnet_protocol.statements import Server

MAX_ANSWER_BYTES: Final = 64 * MIB
_PAUSES_SECONDS: Final = (0.1, 0.4)
_JSON: Final = "application/json"
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)

_Answer = TypeVar("_Answer", bound=BaseModel)


@unique
class ServerName(StrEnum):
    """How messages call the two servers."""

    VAULT = "vault"
    KEYSERVICE = "key service"


class RequestSigner(Protocol):
    """Whoever signs requests: the device of a session as it is now, or a key of its own."""

    @property
    def key_id(self) -> KeyId:
        """How requests name the key."""

    def sign(self, message: bytes, /) -> bytes:
        """The signature of `message`, 64 bytes."""


@dataclass(frozen=True, slots=True)
class KeySigner:
    """One key that signs requests: the root key, an officer's."""

    key_id: KeyId
    sign: Callable[[bytes], bytes]


class ServerClient:
    """One server, as one signer talks to it."""

    __slots__ = ("_clock", "_http", "_server", "_signer", "_sleep", "fingerprint", "name")

    def __init__(
        self,
        server: Server,
        *,
        name: ServerName,
        http: httpx2.Client,
        clock: Callable[[], int],
        signer: RequestSigner | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """A client of `server`, whose entry the caller took from the pinned service card."""
        self._server = server
        self._http = http
        self._clock = clock
        self._signer = signer
        self._sleep = sleep
        self.name = name
        self.fingerprint: Fingerprint = server.fingerprint()

    def __repr__(self) -> str:
        """Name and origin."""
        return f"ServerClient({self.name}, {self._server.origin})"

    @property
    def origin(self) -> str:
        """Where the server is."""
        return self._server.origin

    @property
    def entry(self) -> Server:
        """The server's entry in the service card."""
        return self._server

    def signed_by(self, signer: RequestSigner) -> Self:
        """The same server over the same connections, with requests signed by `signer`."""
        return type(self)(
            self._server, name=self.name, http=self._http, clock=self._clock, signer=signer, sleep=self._sleep
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, answer: type[_Answer], *, query: Mapping[str, str | int | None] | None = None) -> _Answer:
        """GET `path`; members of `query` that are None are left out. Raises a `TransportError`."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        suffix = "?" + "&".join(f"{name}={value}" for name, value in given.items()) if given else ""
        return self._ask("GET", path + suffix, b"", answer, repeatable=True)

    def post(self, path: str, body: BaseModel | None, answer: type[_Answer]) -> _Answer:
        """POST `body`, which may come twice without harm: same bytes, same answer. Raises a `TransportError`."""
        return self._ask("POST", path, _format_body(body), answer, repeatable=True)

    def post_once(self, path: str, body: BaseModel | None, answer: type[_Answer]) -> _Answer:
        """POST `body`, which must not come twice: no answer means that nobody knows. Raises a `TransportError`."""
        return self._ask("POST", path, _format_body(body), answer, repeatable=False)

    def delete(self, path: str, answer: type[_Answer]) -> _Answer:
        """DELETE `path`. Raises a `TransportError`."""
        return self._ask("DELETE", path, b"", answer, repeatable=True)

    def _ask(self, method: str, path: str, body: bytes, answer: type[_Answer], *, repeatable: bool) -> _Answer:
        if len(body) > MAX_BODY_BYTES:
            raise AssertionError("internal: a request body over the protocol's limit")
        may_have_arrived = False
        pauses = iter(_PAUSES_SECONDS if repeatable else ())
        while True:
            try:
                return self._attempt(method, path, body, answer)
            except UnreachableError as error:
                may_have_arrived |= error.may_have_arrived
                pause = next(pauses, None)
                if pause is None:
                    error.may_have_arrived = may_have_arrived
                    raise
            self._sleep(pause)

    def _attempt(self, method: str, path: str, body: bytes, answer: type[_Answer]) -> _Answer:
        target = self._server.origin + path
        headers = {"accept": _JSON, "accept-encoding": "identity", "user-agent": "carnet"}
        if body:
            headers["content-type"] = _JSON
        if self._signer is not None:
            headers |= sign_request(
                method=method,
                target=target,
                body=body,
                server=self.fingerprint,
                key_id=self._signer.key_id,
                created=self._clock(),
                sign=self._signer.sign,
            )
        status, content = self._exchange(method, target, headers, body)
        if status != HTTPStatus.OK:
            raise self._refusal(status, content)
        try:
            return answer.model_validate_json(content)
        except ValidationError:
            raise AnswerError(
                f"the {self.name} answered in another form than this program knows: update Carnet, or ask its operator"
            ) from None

    def _exchange(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body of one exchange. Raises `UnreachableError` or `AnswerError`."""
        try:
            response = self._http.send(httpx2.Request(method, target, headers=headers, content=body), stream=True)
            try:
                return response.status_code, read_bounded(response, MAX_ANSWER_BYTES)
            finally:
                response.close()
        except httpx2.TransportError as error:
            advice = advise(error, "check the network, then run this again")
            raise UnreachableError(
                f"the {self.name} at {self._server.origin} cannot be reached: {advice}",
                may_have_arrived=not isinstance(error, _NEVER_SENT),
            ) from error

    def _refusal(self, status: int, content: bytes) -> RefusalError | AnswerError:
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return AnswerError(f"the {self.name} sends requests elsewhere, which is never followed: ask its operator")
        try:
            code = ErrorAnswer.model_validate_json(content).error.code
        except ValidationError:
            return AnswerError(f"the {self.name} answered {status} without saying why: try again, or ask its operator")
        kind, message = _REFUSALS[code]
        return kind(code, message.format(server=self.name))


def read_bounded(response: httpx2.Response, limit: int) -> bytes:
    """The body of a streamed `response`. Raises `AnswerError` once it is longer than `limit` bytes."""
    parts: list[bytes] = []
    size = 0
    for part in response.iter_raw():
        size += len(part)
        if size > limit:
            raise AnswerError("a server answered with more than any answer is long: tell its operator")
        parts.append(part)
    return b"".join(parts)


def _format_body(body: BaseModel | None) -> bytes:
    return b"" if body is None else body.__pydantic_serializer__.to_json(body)


_FAULT: Final = "the {server} refuses the form of this request: update Carnet, or tell its makers"
_REFUSALS: Final[Mapping[ErrorCode, tuple[type[RefusalError], str]]] = {
    ErrorCode.BAD_REQUEST: (ServerFaultError, _FAULT),
    ErrorCode.METHOD_NOT_ALLOWED: (ServerFaultError, _FAULT),
    ErrorCode.TOO_LARGE: (ServerFaultError, "the {server} takes no request as large as this: ask for less at once"),
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: (ServerFaultError, _FAULT),
    ErrorCode.INVALID_STATEMENT: (
        ServerFaultError,
        "the {server} does not accept a statement made here: check this machine's clock, and that nobody removed it",
    ),
    ErrorCode.UNAUTHENTICATED: (
        UnauthenticatedError,
        "the {server} does not accept this device: check this machine's clock, and whether the device was removed",
    ),
    ErrorCode.REFUSED: (RefusedError, "the {server} has no such thing, or it is not for you"),
    ErrorCode.CONFLICT: (ConflictError, "another device was first at the {server}: look again, then decide again"),
    ErrorCode.STALE: (StaleError, "keys of this record moved on at the {server}: run the same command again"),
    ErrorCode.RATE_LIMITED: (RateLimitedError, "the {server} was asked too often: wait a minute, then run this again"),
    ErrorCode.INTERNAL: (ServerFaultError, "the {server} failed: try again later, or tell its operator"),
    ErrorCode.UNAVAILABLE: (UnavailableError, "the {server} cannot serve now: run the same command again later"),
    ErrorCode.CLOCK_BEHIND: (UnavailableError, "the clock of the {server} is wrong: tell its operator"),
    ErrorCode.NO_SPACE: (NoSpaceError, "the {server} has no space left: tell its operator"),
}
