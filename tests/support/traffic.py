"""What goes by between clients and servers: every request and answer, with its headers and bytes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2

from carnet.transport import ServerName
from tests.support.client import ClientWorld
from tests.support.sealed import decode
from tests.support.story import with_body

Members = frozenset[str]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request with its answer."""

    server: ServerName
    method: str
    url: httpx2.URL
    request_headers: dict[str, str]
    request: bytes
    status: int
    answer_headers: dict[str, str]
    answer: bytes

    def bytes_seen(self) -> bytes:
        """Everything of it that somebody on the way would see without TLS."""
        headers = json.dumps([self.request_headers, self.answer_headers]).encode()
        return b"\n".join([str(self.url).encode(), headers, self.request, self.answer])

    def bodies(self) -> Iterator[Any]:
        """The JSON of the request and of the answer, as far as they are JSON."""
        for headers, body in ((self.request_headers, self.request), (self.answer_headers, self.answer)):
            if body and headers.get("content-type", "").startswith("application/json"):
                yield json.loads(body)


def record(world: ClientWorld) -> list[Exchange]:
    """Begin to record: the list grows with every exchange that goes through the wires of `world`."""
    seen: list[Exchange] = []
    names = {world.own.vault.origin: ServerName.VAULT, world.own.keyservice.origin: ServerName.KEYSERVICE}

    def after(request: httpx2.Request, response: httpx2.Response) -> httpx2.Response:
        body = response.read()
        origin = f"{request.url.scheme}://{request.url.host}" + (f":{request.url.port}" if request.url.port else "")
        seen.append(
            Exchange(
                names[origin],
                request.method,
                request.url,
                dict(request.headers),
                request.content,
                response.status_code,
                dict(response.headers),
                body,
            )
        )
        return with_body(response, body)

    for wire in world.wires.values():
        wire.after = after
    return seen


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every JSON object in `value`, itself included."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from objects_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from objects_in(item)


def statements_in(value: Any) -> Iterator[str]:
    """Every statement in the JSON `value`."""
    if isinstance(value, str) and value.startswith("eyJ") and value.count(".") == 2:
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from statements_in(item)


def payload_of(text: str) -> tuple[str, dict[str, Any]]:
    """`typ` and payload of a statement."""
    header, payload, _ = text.split(".")
    return json.loads(decode(header))["typ"], json.loads(decode(payload))
