"""An object as the body of an answer: read in pieces, for as long as somebody is there, and not for ever."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Self

import pytest
from starlette.types import Message

from carnet_vault.objects import answer
from carnet_vault.objects.answer import ObjectAnswer


class Pieces:
    """An object of many pieces that counts what is read of it."""

    def __init__(self, pieces: int) -> None:
        self.size_bytes = pieces * 10
        self.read = 0
        self.is_closed = False

    def chunks(self, *, start: int, length: int) -> Iterator[bytes]:
        del start
        for _ in range(length // 10):
            assert not self.is_closed
            self.read += 1
            yield b"0123456789"

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class Caller:
    """Whoever asked: takes what is sent, and may go away after so many pieces."""

    def __init__(self, *, goes_after: int | None = None, waits: bool = False) -> None:
        self._goes_after = goes_after
        self._waits = waits
        self._gone = asyncio.Event()
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if self._waits:
            await asyncio.Event().wait()
        if self._goes_after is not None and len(self.sent) > self._goes_after:
            self._gone.set()
        await asyncio.sleep(0)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def test_all_pieces_are_sent_and_the_object_is_closed() -> None:
    async def story() -> None:
        pieces, caller = Pieces(5), Caller()
        await ObjectAnswer(pieces, None)({}, caller.receive, caller.send)
        assert caller.body == b"0123456789" * 5
        assert caller.sent[-1] == {"type": "http.response.body", "body": b""}
        assert pieces.is_closed

    asyncio.run(story())


def test_nobody_reads_on_for_a_caller_who_has_gone() -> None:
    async def story() -> None:
        pieces, caller = Pieces(10_000), Caller(goes_after=3)
        await ObjectAnswer(pieces, None)({}, caller.receive, caller.send)
        assert pieces.read < 20
        assert pieces.is_closed

    asyncio.run(story())


def test_an_object_is_closed_once_no_thread_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "TRANSFER_SECONDS", 0.05)
    began, may_go = threading.Event(), threading.Event()

    class Slow(Pieces):
        def chunks(self, *, start: int, length: int) -> Iterator[bytes]:
            del start, length
            began.set()
            assert may_go.wait(10)
            assert not self.is_closed
            self.read += 1
            yield b"0123456789"

    async def story() -> None:
        pieces, caller = Slow(1), Caller()
        sending = asyncio.ensure_future(ObjectAnswer(pieces, None)({}, caller.receive, caller.send))
        await asyncio.to_thread(began.wait, 10)
        await asyncio.sleep(0.2)
        assert not sending.done()
        assert not pieces.is_closed
        may_go.set()
        with pytest.raises(TimeoutError):
            await sending
        assert (pieces.read, pieces.is_closed) == (1, True)

    asyncio.run(story())


def test_a_transfer_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "TRANSFER_SECONDS", 0)

    async def story() -> None:
        pieces, caller = Pieces(10), Caller(waits=True)
        with pytest.raises(TimeoutError):
            await ObjectAnswer(pieces, None)({}, caller.receive, caller.send)
        assert pieces.is_closed

    asyncio.run(story())
