"""Answers that nobody reads, one in one piece and many at once, hold nothing for ever."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from carnet_server import draining
from carnet_server.draining import DrainedConnection

PIECE = b"x" * 2**20
PIECES = 16
REQUEST = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
PATIENCE_SECONDS = 30

Conversation = Callable[[socket.socket, ServerState], Awaitable[None]]


async def answer_in_one_piece(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, [{"type": "http.response.body", "body": PIECE}])


async def answer_in_pieces(scope: Scope, receive: Receive, send: Send) -> None:
    piece: Message = {"type": "http.response.body", "body": PIECE[: len(PIECE) // PIECES], "more_body": True}
    await answer(send, [*[piece] * PIECES, {"type": "http.response.body", "body": b""}])


async def answer(send: Send, body: list[Message]) -> None:
    headers = [(b"content-length", str(len(PIECE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for message in body:
        await send(message)


def converse(conversation: Conversation, app: Callable[..., Awaitable[None]]) -> None:
    """Run `conversation` over a socket that takes little at a time from a server that runs `app`."""

    async def main() -> None:
        config = uvicorn.Config(app, http=DrainedConnection, log_config=None, lifespan="off")
        state, loop = ServerState(), asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: DrainedConnection(config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        async with server:
            with socket.socket() as reader:
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reader.setblocking(False)
                await loop.sock_connect(reader, server.sockets[0].getsockname())
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await conversation(reader, state)

    asyncio.run(main())


@pytest.mark.parametrize("app", [answer_in_one_piece, answer_in_pieces])
def test_whoever_stops_to_read_is_cut(
    monkeypatch: pytest.MonkeyPatch, app: Callable[[Scope, Receive, Send], Awaitable[None]]
) -> None:
    monkeypatch.setattr(draining, "SEND_SECONDS", 0.05)

    async def conversation(reader: socket.socket, state: ServerState) -> None:
        await asyncio.get_running_loop().sock_sendall(reader, REQUEST * 60)
        while not state.connections:  # noqa: ASYNC110  uvicorn tells nobody
            await asyncio.sleep(0.01)
        # Nothing is read, and all the same nobody is left who answers.
        while state.connections or state.tasks:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)

    converse(conversation, app)


@pytest.mark.parametrize("app", [answer_in_one_piece, answer_in_pieces])
def test_whoever_reads_gets_everything_in_more_time_than_that(
    monkeypatch: pytest.MonkeyPatch, app: Callable[[Scope, Receive, Send], Awaitable[None]]
) -> None:
    monkeypatch.setattr(draining, "SEND_SECONDS", 5.0)

    async def conversation(reader: socket.socket, state: ServerState) -> None:
        loop, received = asyncio.get_running_loop(), 0
        await loop.sock_sendall(reader, REQUEST * 4)
        while received < 4 * len(PIECE):
            received += len(await loop.sock_recv(reader, 65536))
        assert state.connections

    converse(conversation, app)
