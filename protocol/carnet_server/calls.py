"""What a route is given: who calls, with what body, and the two ways into the database.

A signed call writes only through `run` or `submit`, which spend the nonce and check the key in the transaction of the
work itself, and reads only through `read`, which checks the key on the snapshot that is read. A work gets the
connection and the UTC second at which it decides; it commits nothing and may be run again (see `writer.py`).
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request, Response
from sqlalchemy import Connection

from carnet_protocol.answers import sign_answer
from carnet_server.authentication import Credentials
from carnet_server.body import BodyGate
from carnet_server.chassis import Chassis
from carnet_server.database import reader
from carnet_server.principals import Principal
from carnet_server.writer import Work

Body = TypeVar("Body")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SignedCall(Generic[Body]):
    """A request by `principal`. `body` is a model, or None where the route takes no body."""

    principal: Principal
    body: Body
    _credentials: Credentials
    _chassis: Chassis

    def run(self, work: Work[T]) -> T:
        """Run `work` in the transaction that this request authorises; for routes that are plain `def`.

        Raises what `work` raises, and the refusals of `Writer.run` and `Authenticator.admit`.
        """
        return self._chassis.writer.run(self._admit, work)

    async def submit(self, work: Work[T]) -> T:
        """As `run`, for routes that are `async def`."""
        return await self._chassis.writer.submit(self._admit, work)

    def read(self, work: Work[T]) -> T:
        """Run `work` on a snapshot that it cannot write to; for routes that are plain `def`.

        Raises what `work` raises, and the refusals of `Authenticator.check`.
        """
        with reader(self._chassis.engine) as connection:
            return work(connection, self._chassis.authenticator.check(connection, self._credentials))

    def sign(self, response: Response) -> None:
        """Sign `response` as the answer to this request, for the other server."""
        if self._chassis.server_key is None:
            raise AssertionError("internal: a server with routes for the other one is given no key to sign with")
        response.headers.update(
            sign_answer(
                self._credentials.head,
                status=response.status_code,
                body=bytes(response.body),
                created=self._chassis.clock(),
                sign=self._chassis.server_key.sign,
            )
        )

    def _admit(self, connection: Connection) -> int:
        return self._chassis.authenticator.admit(connection, self._credentials)


@dataclass(frozen=True, slots=True)
class OpenCall(Generic[Body]):
    """A request by nobody in particular: what it may do, its body must prove."""

    body: Body
    _chassis: Chassis

    def run(self, work: Work[T]) -> T:
        """Run `work` in a transaction; for routes that are plain `def`."""
        return self._chassis.writer.run(self._chassis.authenticator.decide_at, work)

    async def submit(self, work: Work[T]) -> T:
        """As `run`, for routes that are `async def`."""
        return await self._chassis.writer.submit(self._chassis.authenticator.decide_at, work)

    def read(self, work: Work[T]) -> T:
        """Run `work` on a snapshot that it cannot write to; for routes that are plain `def`."""
        with reader(self._chassis.engine) as connection:
            return work(connection, self._chassis.authenticator.decide_at(connection))


@dataclass(frozen=True, slots=True)
class StreamCall(OpenCall[None]):
    """A request by nobody in particular whose body is bytes, taken as they arrive."""

    request: Request
    _gate: BodyGate

    def stream(self) -> AsyncIterator[bytes]:
        """The body, part by part. An early part guarantees nothing; the end of the iteration alone says it is whole."""
        return self._gate.stream()
