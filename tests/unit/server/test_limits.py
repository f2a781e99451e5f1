"""Heads over a limit, bodies that are too long, too slow or cut, and too many requests at once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from carnet_protocol.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_URL_BYTES
from carnet_server import body as body_module
from carnet_server.body import BodyGate, body_gate, is_much_unread
from carnet_server.errors import (
    BadRequestError,
    BusyError,
    RefusalError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from carnet_server.limits import MAX_HEADERS, RequestLimits, check_head
from carnet_server.places import Place, Places

Header = tuple[bytes, bytes]


def make_scope(*headers: Header, path: bytes = b"/", query: bytes = b"", method: str = "POST") -> Scope:
    return {
        "type": "http",
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": list(headers),
        "client": None,
    }


def make_place() -> Place:
    return Place(Places(1), Places(1), "192.0.2.1")


def receive_from(messages: Sequence[Message]) -> Receive:
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


# The head


@pytest.mark.parametrize(
    ("scope", "refusal"),
    [
        (make_scope(path=b"/".ljust(MAX_URL_BYTES, b"a")), None),
        (make_scope(path=b"/".ljust(MAX_URL_BYTES + 1, b"a")), TooLargeError),
        (make_scope(query=b"a" * MAX_URL_BYTES), TooLargeError),
        (make_scope(path=b"/%41"), BadRequestError),
        (make_scope(query=b"a=%41"), BadRequestError),
        (make_scope(path=b"/\xc3\xa9"), BadRequestError),
        (make_scope(*[(b"a", b"")] * MAX_HEADERS), None),
        (make_scope(*[(b"a", b"")] * (MAX_HEADERS + 1)), TooLargeError),
        (make_scope((b"a", b"x" * (MAX_HEADER_BYTES - 5))), None),
        (make_scope((b"a", b"x" * (MAX_HEADER_BYTES - 4))), TooLargeError),
        (make_scope((b"content-encoding", b"gzip")), UnsupportedMediaTypeError),
        (make_scope((b"content-encoding", b"")), UnsupportedMediaTypeError),
    ],
    ids=[
        "long path",
        "longer path",
        "long query",
        "encoded path",
        "encoded query",
        "foreign path",
        "many headers",
        "more headers",
        "long header",
        "longer header",
        "gzip",
        "empty encoding",
    ],
)
def test_a_head_over_a_limit_is_refused(scope: Scope, refusal: type[RefusalError] | None) -> None:
    assert type(check_head(scope)) is (refusal or type(None))


def test_requests_at_once_are_bounded_and_a_finished_one_makes_room() -> None:
    async def main() -> None:
        running, done = asyncio.Event(), asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            running.set()
            await done.wait()

        async def send(message: Message) -> None:
            raise AssertionError

        limits = RequestLimits(app, max_concurrent=1)
        first = asyncio.create_task(limits(make_scope(), receive_from([]), send))
        await running.wait()
        with pytest.raises(BusyError):
            await limits(make_scope(), receive_from([]), send)
        done.set()
        await first
        await limits(make_scope(), receive_from([]), send)

    asyncio.run(main())


class Crowd:
    """Requests to a server with eight places, whose bodies come when the test says so. Each answer is noted."""

    def __init__(self) -> None:
        self.limits = RequestLimits(self._app, max_concurrent=8)
        self.tasks: list[asyncio.Task[None]] = []
        self.rest = asyncio.Event()

    async def ask(self, address: str, *, is_whole: bool, path: bytes = b"/") -> None:
        """Let a request of `address` come in and run until it waits or is done."""
        scope = make_scope(path=path) | {"client": (address, 1)}
        self.tasks.append(asyncio.create_task(self.limits(scope, self._receive(is_whole), self._send)))
        for _ in range(5):
            await asyncio.sleep(0)

    def refused(self) -> list[bool | None]:
        """Of each request: whether it was refused, or None if it is not answered yet."""
        return [task.exception() is not None if task.done() else None for task in self.tasks]

    def _receive(self, is_whole: bool) -> Receive:
        async def receive() -> Message:
            if not is_whole:
                await self.rest.wait()
            return part(b"{}", more=False)

        return receive

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        gate = body_gate(scope)
        gate.open(2)
        await gate.read()

    async def _send(self, message: Message) -> None:
        raise AssertionError


def test_whose_body_is_slow_to_come_keeps_nobody_out_whose_request_is_there() -> None:
    async def main() -> None:
        crowd = Crowd()
        for number in range(12):
            await crowd.ask(f"192.0.2.{number % 6}", is_whole=False)
        assert crowd.refused() == [None] * 8 + [True] * 4
        for address in ("192.0.2.0", "192.0.2.9"):
            await crowd.ask(address, is_whole=True)
        assert crowd.refused()[-2:] == [False, False]
        crowd.rest.set()
        await asyncio.gather(*crowd.tasks, return_exceptions=True)
        assert crowd.refused()[:8] == [False] * 8

    asyncio.run(main())


def test_one_address_waits_with_a_fraction_of_all_bodies() -> None:
    async def main() -> None:
        crowd = Crowd()
        for _ in range(4):
            await crowd.ask("2001:db8::1", is_whole=False)
        await crowd.ask("2001:db8::2", is_whole=False)
        await crowd.ask("2001:db8:0:1::1", is_whole=False)
        assert crowd.refused() == [None, None, True, True, True, None]
        crowd.rest.set()
        await asyncio.gather(*crowd.tasks, return_exceptions=True)
        for _ in range(3):
            await crowd.ask("2001:db8::1", is_whole=True)
        assert crowd.refused()[-3:] == [False] * 3

    asyncio.run(main())


def test_whether_a_server_lives_is_answered_however_busy_it_is() -> None:
    async def main() -> None:
        done = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["path"] == "/":
                await done.wait()

        async def send(message: Message) -> None:
            raise AssertionError

        limits = RequestLimits(app, max_concurrent=1)
        first = asyncio.create_task(limits(make_scope(), receive_from([]), send))
        await asyncio.sleep(0)
        for path in (b"/healthz", b"/readyz"):
            await limits(make_scope(path=path), receive_from([]), send)
        with pytest.raises(BusyError):
            await limits(make_scope(path=b"/healthz/"), receive_from([]), send)
        done.set()
        await first

    asyncio.run(main())


# The body


def open_gate(messages: Sequence[Message], limit: int, *headers: Header) -> BodyGate:
    gate = BodyGate(make_scope(*headers), receive_from(messages), make_place())
    gate.open(limit)
    return gate


@pytest.mark.parametrize(
    "messages",
    [
        [part(b"", more=False)],
        [part(b"abcdef", more=False)],
        [part(b"abc"), part(b"def", more=False)],
        [part(b""), part(b"abcdef"), part(b"", more=False)],
    ],
    ids=["empty", "one", "two", "three"],
)
def test_a_body_within_its_limit_is_read_whole(messages: list[Message]) -> None:
    expected = b"".join(message["body"] for message in messages)
    assert asyncio.run(open_gate(messages, 6).read()) == expected


@pytest.mark.parametrize(
    "messages",
    [[part(b"abcdefg", more=False)], [part(b"abcdef"), part(b"g", more=False)], [part(b"abcdefg")]],
    ids=["at once", "in parts", "endless"],
)
def test_a_body_over_its_limit_is_refused_as_soon_as_that_is_known(messages: list[Message]) -> None:
    with pytest.raises(TooLargeError):
        asyncio.run(open_gate(messages, 6).read())


@pytest.mark.parametrize(
    ("announced", "accepted"),
    [(b"6", True), (b"7", False), (b"-1", False), (b"x", False), (b"1e3", False), (b"9" * 16, False), (b"", False)],
)
def test_a_body_that_announces_too_much_is_refused_unread(announced: bytes, accepted: bool) -> None:
    if accepted:
        open_gate([], 6, (b"content-length", announced))
    else:
        with pytest.raises(TooLargeError):
            open_gate([], 6, (b"content-length", announced))


def test_a_body_that_is_cut_is_refused() -> None:
    with pytest.raises(BadRequestError, match="body_cut"):
        asyncio.run(open_gate([part(b"abc"), {"type": "http.disconnect"}], 6).read())


def test_a_body_that_does_not_arrive_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "READ_SECONDS", 0)
    with pytest.raises(BadRequestError, match="body_too_slow"):
        asyncio.run(open_gate([part(b"abc")], 6).read())


def test_a_stream_gives_its_parts_and_must_keep_moving(monkeypatch: pytest.MonkeyPatch) -> None:
    async def collect(gate: BodyGate) -> list[bytes]:
        return [part async for part in gate.stream()]

    assert asyncio.run(collect(open_gate([part(b"abc"), part(b"def", more=False)], 6))) == [b"abc", b"def"]
    monkeypatch.setattr(body_module, "IDLE_SECONDS", 0)
    with pytest.raises(BadRequestError, match="body_too_slow"):
        asyncio.run(collect(open_gate([part(b"abc")], 6)))


def test_a_stream_over_its_limit_is_refused() -> None:
    async def count(gate: BodyGate) -> int:
        return sum([len(part) async for part in gate.stream()])

    with pytest.raises(TooLargeError):
        asyncio.run(count(open_gate([part(b"abc"), part(b"defg")], 6)))


def test_a_body_that_no_route_opened_is_not_seen_by_anyone() -> None:
    messages = [part(b"abc"), part(b"def", more=False), {"type": "http.disconnect"}]
    gate = BodyGate(make_scope(), receive_from(messages), make_place())

    async def drain() -> list[Message]:
        return [await gate.receive() for _ in range(3)]

    assert asyncio.run(drain()) == [part(b""), part(b"", more=False), {"type": "http.disconnect"}]
    with pytest.raises(AssertionError, match="internal"):
        asyncio.run(BodyGate(make_scope(), receive_from([]), make_place()).read())


def test_a_request_past_the_limits_has_no_gate() -> None:
    with pytest.raises(AssertionError, match="internal"):
        body_gate(make_scope())


@pytest.mark.parametrize(
    ("headers", "read", "closes"),
    [
        ([], False, False),
        ([(b"content-length", b"10")], False, False),
        ([(b"content-length", str(MAX_BODY_BYTES).encode())], False, False),
        ([(b"content-length", str(MAX_BODY_BYTES + 1).encode())], False, True),
        ([(b"content-length", str(MAX_BODY_BYTES + 1).encode())], True, False),
        ([(b"content-length", b"x")], False, True),
        ([(b"transfer-encoding", b"chunked")], False, True),
        ([(b"transfer-encoding", b"chunked")], True, False),
    ],
    ids=["none", "short", "full", "long", "long and read", "no number", "chunked", "chunked and read"],
)
def test_an_answer_ends_the_connection_where_much_of_a_body_is_unread(
    headers: list[Header], read: bool, closes: bool
) -> None:
    scope: dict[str, Any] = dict(make_scope(*headers))
    if read:
        gate = BodyGate(scope, receive_from([part(b"", more=False)]), make_place())
        gate.open(10 * MAX_BODY_BYTES)
        asyncio.run(gate.read())
    assert is_much_unread(scope) is closes
