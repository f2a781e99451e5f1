"""Connections that say nothing, or too slowly, and one too many."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from carnet_server import connections
from carnet_server.connections import BoundedConnection

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"2")]
    messages: list[Message] = [
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": b"ok"},
    ]
    for message in messages:
        await send(message)


def converse(conversation: Conversation, *, trusted: Sequence[str] = ()) -> None:
    """Run `conversation` with a server whose connections are bounded, and which trusts the proxies `trusted`."""

    async def main() -> None:
        config = uvicorn.Config(
            app,
            http=BoundedConnection,
            log_config=None,
            lifespan="off",
            proxy_headers=bool(trusted),
            forwarded_allow_ips=list(trusted),
        )
        state, loop = ServerState(), asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: BoundedConnection(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        async with server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
            try:
                await conversation(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(ConnectionResetError):
                    await writer.wait_closed()

    asyncio.run(main())


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    """What comes before the connection ends, whichever way it ends."""
    with contextlib.suppress(ConnectionResetError):
        return await reader.read()
    return b""


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nhost:", REQUEST[:-2]], ids=repr)
def test_a_head_that_does_not_arrive_in_time_ends_the_connection(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        assert await read_to_the_end(reader) == b""

    converse(conversation)


def test_a_second_head_that_does_not_arrive_in_time_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(REQUEST)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
        monkeypatch.setattr(connections, "HEAD_SECONDS", 0)
        writer.write(b"GET / HT")
        assert await read_to_the_end(reader) == b""

    converse(conversation)


def test_a_head_that_trickles_in_is_answered_while_there_is_time() -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in REQUEST * 2:
            writer.write(bytes([byte]))
            await writer.drain()
        for _ in range(2):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")

    converse(conversation)


def test_one_connection_too_many_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 0)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await read_to_the_end(reader) == b""

    converse(conversation)


@pytest.mark.parametrize(("trusted", "is_cut"), [([], True), (["127.0.0.1"], False)], ids=["anyone", "a proxy"])
def test_one_connection_of_an_address_too_many_is_cut_unless_it_speaks_for_others(
    monkeypatch: pytest.MonkeyPatch, trusted: list[str], is_cut: bool
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS_OF_AN_ADDRESS", 0)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_cut:
            assert await read_to_the_end(reader) == b""
            return
        writer.write(REQUEST)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")

    converse(conversation, trusted=trusted)
