"""Requests and answers of one server: signed anew each time, bounded, never led elsewhere, each refusal its error."""

import json
from collections.abc import Callable

import httpx2
import pytest

from carnet import transport
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
from carnet.transport import KeySigner, ServerClient, ServerName
from carnet_protocol.api import Accepted, CardView, LockView
from carnet_protocol.errors import ErrorCode
from carnet_protocol.requests import KeyId, parse_request, verify_request
from tests.support.people import NOW, Deployment, Dice

DEPLOYMENT = Deployment.make(Dice("transport"))
SERVER = DEPLOYMENT.vault
DEVICE = Dice("device").signer()
OK = b'{"card":"a.b.c"}'
Handler = Callable[[httpx2.Request], httpx2.Response]


class Line:
    """A server that answers with `handler`, and remembers what came in and how long the client paused."""

    def __init__(self, handler: Handler) -> None:
        self.requests: list[httpx2.Request] = []
        self.pauses: list[float] = []
        self._handler = handler

    def client(self, *, signed: bool = True) -> ServerClient:
        signer = KeySigner(KeyId(bytes(32)), DEVICE.sign) if signed else None
        http = httpx2.Client(transport=httpx2.MockTransport(self._handle), follow_redirects=False)
        return ServerClient(
            SERVER.entry(),
            name=ServerName.VAULT,
            http=http,
            clock=lambda: NOW,
            signer=signer,
            sleep=self.pauses.append,
        )

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self._handler(request)


def answer(content: bytes = OK, status: int = 200, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, stream=httpx2.ByteStream(content), headers=headers)


def verified_nonce(request: httpx2.Request) -> str:
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    signed = parse_request(method=request.method, target=str(request.url), headers=headers)
    verify_request(signed, request.content, public_key=DEVICE.public_key, server=SERVER.fingerprint, now=NOW)
    return str(signed.nonce)


def test_every_request_is_signed_over_its_body() -> None:
    line = Line(lambda _: answer())
    line.client().get("/v1/service-card", CardView, query={"grant": None, "after": "x", "limit": 5})
    line.client().post("/v1/people", LockView(lock="a.b.c"), CardView)
    line.client().delete("/v1/records/x/uploads/y", CardView)
    assert [request.method for request in line.requests] == ["GET", "POST", "DELETE"]
    assert str(line.requests[0].url) == f"{SERVER.origin}/v1/service-card?after=x&limit=5"
    assert line.requests[1].headers["content-type"] == "application/json"
    assert len({verified_nonce(request) for request in line.requests}) == 3


def test_anyone_asks_without_a_signature() -> None:
    line = Line(lambda _: answer())
    line.client(signed=False).get("/v1/service-card", CardView)
    assert "signature" not in line.requests[0].headers


def test_a_lost_connection_is_tried_again_with_a_fresh_nonce() -> None:
    failures = iter([httpx2.ConnectError("x"), httpx2.RemoteProtocolError("x")])

    def handle(_: httpx2.Request) -> httpx2.Response:
        failure = next(failures, None)
        if failure is not None:
            raise failure
        return answer()

    line = Line(handle)
    line.client().get("/v1/service-card", CardView)
    assert len({verified_nonce(request) for request in line.requests}) == 3
    assert line.pauses == [0.1, 0.4]


def break_off(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ReadTimeout("slow")


def test_a_server_that_stays_away_is_named_with_its_origin() -> None:
    line = Line(break_off)
    with pytest.raises(UnreachableError, match=SERVER.origin):
        line.client().post("/v1/people", None, Accepted)
    assert len(line.requests) == 3


def test_what_must_not_come_twice_is_sent_once() -> None:
    line = Line(break_off)
    with pytest.raises(UnreachableError):
        line.client().post_once("/v1/records/x/locks", None, LockView)
    assert len(line.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_never_followed(status: int) -> None:
    line = Line(lambda _: answer(b"", status, location="https://elsewhere.example/"))
    with pytest.raises(AnswerError, match="elsewhere"):
        line.client().get("/v1/service-card", CardView)
    assert len(line.requests) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff", b'{"card":1}', b'{"card":"a.b.c","more":1}', OK + b"x", b'{"card":NaN}'],
)
def test_an_answer_in_another_form_is_refused(content: bytes) -> None:
    with pytest.raises(AnswerError):
        Line(lambda _: answer(content)).client().get("/v1/service-card", CardView)


def test_an_answer_is_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 1000)
    pulled: list[int] = []

    class Endless(httpx2.SyncByteStream):
        def __iter__(self) -> object:
            while True:
                pulled.append(1)
                yield b"x" * 100

    line = Line(lambda _: httpx2.Response(200, stream=Endless()))
    with pytest.raises(AnswerError, match="more than"):
        line.client().get("/v1/service-card", CardView)
    assert len(pulled) == 11


EXPECTED: dict[ErrorCode, type[RefusalError]] = {
    ErrorCode.BAD_REQUEST: ServerFaultError,
    ErrorCode.UNAUTHENTICATED: UnauthenticatedError,
    ErrorCode.REFUSED: RefusedError,
    ErrorCode.METHOD_NOT_ALLOWED: ServerFaultError,
    ErrorCode.CONFLICT: ConflictError,
    ErrorCode.STALE: StaleError,
    ErrorCode.TOO_LARGE: ServerFaultError,
    ErrorCode.UNSUPPORTED_MEDIA_TYPE: ServerFaultError,
    ErrorCode.INVALID_STATEMENT: ServerFaultError,
    ErrorCode.RATE_LIMITED: RateLimitedError,
    ErrorCode.INTERNAL: ServerFaultError,
    ErrorCode.UNAVAILABLE: UnavailableError,
    ErrorCode.CLOCK_BEHIND: UnavailableError,
    ErrorCode.NO_SPACE: NoSpaceError,
}


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_its_error(code: ErrorCode) -> None:
    content = json.dumps({"error": {"code": code, "message": "<hostile>\x1b[2J"}}).encode()
    line = Line(lambda _: answer(content, 400))
    with pytest.raises(EXPECTED[code], match="vault") as caught:
        line.client().get("/v1/service-card", CardView)
    assert caught.value.code is code
    assert "hostile" not in str(caught.value)
    assert len(line.requests) == 1


@pytest.mark.parametrize("content", [b"", b"<html>", b'{"error":{"code":"surprise","message":""}}'])
def test_a_refusal_without_a_code_names_its_status(content: bytes) -> None:
    with pytest.raises(AnswerError, match="502"):
        Line(lambda _: answer(content, 502)).client().get("/v1/service-card", CardView)


def test_a_body_over_the_limit_is_never_sent() -> None:
    line = Line(lambda _: answer())
    with pytest.raises(AssertionError, match="internal"):
        line.client().post(
            "/v1/people", LockView(lock="a.b." + "c" * 60_000).model_copy(update={"lock": "x" * 2**23}), CardView
        )
    assert not line.requests
