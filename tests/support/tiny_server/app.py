"""Wiring and routes of the tiny server."""

from collections.abc import Callable
from types import NoneType
from typing import Annotated, Final

from fastapi import FastAPI, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy import Connection, Engine, bindparam, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from structlog.typing import FilteringBoundLogger

from carnet_protocol.errors import ErrorCode
from carnet_protocol.ids import Fingerprint, IdentityHash, RandomId
from carnet_protocol.limits import MAX_BODY_BYTES
from carnet_protocol.requests import KeyId
from carnet_protocol.wire import WireModel
from carnet_server.app import make_app
from carnet_server.calls import OpenCall, SignedCall, StreamCall
from carnet_server.chassis import Chassis, Rates, make_chassis
from carnet_server.clock import Clock, system_clock
from carnet_server.errors import ConflictError, RefusedError
from carnet_server.principals import PrincipalKind, SigningKey
from carnet_server.routes import DEVICES, OFFICERS, ROOTS, Router

from .tables import REVISIONS, events, keys, nonces, notes

MAX_NOTE_BYTES: Final = 4096
MAX_STREAM_BYTES: Final = 10 * MAX_BODY_BYTES


class Note(WireModel):
    """A note under an id that its author chose."""

    note: RandomId
    text: Annotated[str, Field(max_length=1000)]


class Written(WireModel):
    """Where the note stands among all events."""

    position: int


class Size(WireModel):
    """How much came in."""

    size_bytes: int


router: Final = Router()
PEOPLE: Final = DEVICES | ROOTS


@router.signed(
    "POST",
    "/v1/notes",
    kinds=PEOPLE,
    body=Note,
    body_limit_bytes=MAX_NOTE_BYTES,
    answer=Written,
    errors=(ErrorCode.CONFLICT,),
)
async def write_note(call: SignedCall[Note]) -> Written:
    """Writes a note; the same note again is no change."""
    return await call.submit(lambda connection, now: store(connection, call.body, call.principal.person, now))


@router.signed(
    "GET",
    "/v1/notes/{note}",
    kinds=PEOPLE,
    body=NoneType,
    body_limit_bytes=0,
    answer=Note,
    errors=(ErrorCode.REFUSED,),
)
def read_note(call: SignedCall[None], note: RandomId, least: Annotated[int, Query(ge=0)] = 0) -> Note:
    """Reads one of the caller's own notes, if it is at least so long."""
    found = call.read(lambda connection, _: find(connection, note, call.principal.person))
    if found is None or len(found.text) < least:
        raise RefusedError("no_note")
    return found


@router.signed("DELETE", "/v1/notes", kinds=OFFICERS, body=NoneType, body_limit_bytes=0, answer=NoneType, errors=())
def forget_notes(call: SignedCall[None]) -> None:
    """Forgets all notes."""
    call.run(lambda connection, _: connection.execute(notes.delete()))


@router.open("POST", "/v1/echo", body=Note, body_limit_bytes=MAX_NOTE_BYTES, answer=Note, errors=())
def echo(call: OpenCall[Note]) -> Note:
    """Answers with what it was given."""
    return call.body


@router.stream("PUT", "/v1/objects/{name}", body_limit_bytes=MAX_STREAM_BYTES, answer=Size, errors=())
async def take(call: StreamCall, name: str) -> Size:
    """Counts the bytes that come in."""
    del name
    return Size(size_bytes=sum([len(part) async for part in call.stream()]))


@router.stream("GET", "/v1/objects/{name}", body_limit_bytes=0, answer=Response, errors=(ErrorCode.REFUSED,))
async def give(call: StreamCall, name: str) -> Response:
    """Gives as many parts as the name has letters; there is none called "none"."""
    del call
    if name == "none":
        raise RefusedError("no_object")
    return StreamingResponse((b"x" * 1000 for _ in name), media_type="application/octet-stream")


@router.open("GET", "/v1/failure", body=NoneType, body_limit_bytes=0, answer=NoneType, errors=())
def fail(call: OpenCall[None]) -> None:
    """Fails as nobody expected, with a secret in its message."""
    del call
    raise ValueError("Aspirin 500 mg for Alice")


@router.open("GET", "/v1/unstated", body=NoneType, body_limit_bytes=0, answer=NoneType, errors=())
def refuse_unstated(call: OpenCall[None]) -> None:
    """Refuses with a code that the route does not state."""
    del call
    raise ConflictError("unstated")


_INSERT_NOTE = {
    "sqlite": sqlite.insert(notes).on_conflict_do_nothing().returning(notes.c.note),
    "postgresql": postgresql.insert(notes).on_conflict_do_nothing().returning(notes.c.note),
}
_INSERT_EVENT = insert(events)
_NEXT = select(func.coalesce(func.max(events.c.position) + 1, 0))
_FIND = select(notes.c.author, notes.c.text).where(notes.c.note == bindparam("wanted"))
_POSITION = select(events.c.position).where(events.c.note == bindparam("wanted"))
_KEY = select(keys.c.public_key, keys.c.kind, keys.c.identity).where(keys.c.key_id == bindparam("wanted"))


def store(connection: Connection, note: Note, author: IdentityHash, now: int) -> Written:
    """Insert the note and its event, or find both. Raises `ConflictError` where other bytes stand."""
    row = {"note": note.note, "author": author, "text": note.text, "written_at": now}
    if connection.execute(_INSERT_NOTE[connection.dialect.name], row).first() is None:
        if find(connection, note.note, author) != note:
            raise ConflictError("other_note")
        return Written(position=connection.execute(_POSITION, {"wanted": note.note}).scalar_one())
    position = connection.execute(_NEXT).scalar_one()
    connection.execute(_INSERT_EVENT, {"position": position, "note": note.note, "happened_at": now})
    return Written(position=position)


def find(connection: Connection, note: RandomId, author: IdentityHash) -> Note | None:
    """The note, if it is the author's."""
    row = connection.execute(_FIND, {"wanted": note}).one_or_none()
    return None if row is None or row.author != author else Note(note=note, text=row.text)


def look_up_key(connection: Connection, key_id: KeyId) -> SigningKey | None:
    """The key called `key_id`."""
    row = connection.execute(_KEY, {"wanted": key_id}).one_or_none()
    return None if row is None else SigningKey(row.public_key, PrincipalKind(row.kind), row.identity)


def make_tiny_chassis(
    *,
    origin: str,
    fingerprint: Fingerprint,
    engine: Engine,
    log: FilteringBoundLogger,
    clock: Clock = system_clock,
    monotonic: Callable[[], float] = lambda: 0.0,
    rates: Rates | None = None,
) -> Chassis:
    """Its chassis."""
    return make_chassis(
        name="tiny",
        version="0.0.1",
        origin=origin,
        fingerprint=fingerprint,
        engine=engine,
        revisions=REVISIONS,
        nonces=nonces,
        look_up=look_up_key,
        log=log,
        rates=rates or Rates(),
        clock=clock,
        monotonic=monotonic,
    )


def make_tiny_app(chassis: Chassis) -> FastAPI:
    """Its application."""
    return make_app(chassis, title="Tiny", routers=[router])
